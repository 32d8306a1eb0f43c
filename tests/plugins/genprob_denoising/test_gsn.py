"""The learned chain on an enumerable space, its stationary law against that of the data."""

import itertools

import numpy as np
import pytest
import torch

import genprob
from genprob import OneOf
from genprob.data.schema import Schema, Variable
from genprob.data.support import Categorical, Real
from genprob.errors import UsageError
from genprob_denoising.autoencoder import EnergyDAE
from genprob_denoising.dae import dae
from genprob_denoising.gsn import GSN

STATES = np.array(list(itertools.product((0, 1), repeat=3)))


def rows(n=4000):
    rng = np.random.default_rng(0)
    k = rng.random(n) < 0.6
    return (rng.random((n, 3)) < np.where(k[:, None], [0.9, 0.8, 0.15], [0.2, 0.1, 0.7])).astype(int)


def counted(values):
    return np.array([(values == state).all(1).mean() for state in STATES])


def table(values):
    return {name: values[:, j] for j, name in enumerate("abc")}


def stationary(model):
    """The stationary law of the chain, from its transition matrix, each row counted from many transitions."""
    torch.manual_seed(0)
    with torch.no_grad():
        begun = torch.as_tensor(np.repeat(STATES, 4000, 0), dtype=torch.float64)
        after = model.walked(begun).numpy().reshape(len(STATES), 4000, 3)
    matrix = np.stack([counted(part) for part in after])
    return np.linalg.matrix_power(matrix, 200)[0]


@pytest.fixture(scope="module")
def fitted():
    data = rows()
    return data, {
        name: genprob.fit(
            table(data), GSN, steps=300, seed=0, hidden=(24,),
            inference={"name": name, "lr": 1e-2, "batch_size": 256},
        )
        for name in ("dsm", "walkback")
    }  # fmt: skip


def test_the_stationary_law_is_near_that_of_the_data(fitted):
    data, joints = fitted
    independent = np.prod(np.where(STATES, data.mean(0), 1 - data.mean(0)), 1)
    far = np.abs(independent - counted(data)).sum() / 2
    off = {name: np.abs(stationary(joint.model) - counted(data)).sum() / 2 for name, joint in joints.items()}
    assert off["dsm"] < 0.07 and off["walkback"] < 0.14 and far > 0.25


def test_draws_come_from_the_stationary_law(fitted):
    joint = fitted[1]["walkback"]
    drawn = joint.sample(4000, seed=1)
    found = counted(np.stack([drawn[name].values for name in "abc"], 1).astype(int))
    assert np.abs(found - stationary(joint.model)).sum() / 2 < 0.05


def test_clamped_answers_are_near_the_conditional_and_say_that_they_are_heuristic(fitted):
    data, joints = fitted
    answer = joints["walkback"].query(["a"], {"c": 1}, seed=0, strategy="denoising")
    assert (answer.attrs["guarantee"], answer.attrs["law"]) == ("heuristic", "chain")
    truth = data[data[:, 2] == 1, 0].mean()
    assert float(answer["marginals"]["a_pmf"][1]) == pytest.approx(truth, abs=0.1)


def test_walks_longer_than_the_chain_mixes_teach_independence(fitted):
    """Why walks are short by default: what a long walk has forgotten, cells drawn one by one cannot restore."""
    data, joints = fitted
    long = genprob.fit(
        table(data), GSN, steps=200, seed=0, hidden=(24,),
        inference={"name": "walkback", "walk": 6, "go_on": 1.0, "lr": 1e-2, "batch_size": 256},
    )  # fmt: skip
    truth = counted(data)
    assert np.abs(stationary(long.model) - truth).sum() > 2 * np.abs(stationary(joints["walkback"].model) - truth).sum()


def test_a_mixed_table_is_asked_by_every_kind_of_evidence():
    rng = np.random.default_rng(0)
    g = rng.integers(0, 2, 1500)
    data = {"g": np.where(g, "a", "b"), "h": np.where(rng.random(1500) < np.where(g, 0.9, 0.2), "u", "v")}
    joint = genprob.fit(data, GSN, steps=300, hidden=(16,), inference={"name": "dsm", "lr": 1e-2})
    answer = joint.query(["h"], {"g": OneOf("a")}, seed=0, strategy="denoising")
    assert float(answer["marginals"]["h_pmf"][0]) == pytest.approx(0.9, abs=0.15)
    with pytest.raises(UsageError, match="no log-probability"):
        joint.log_prob(data)


def test_noise_that_cannot_be_is_refused():
    for options in ({"sigma": -1.0}, {"replace": 1.0}, {"sigma": 0.0, "replace": 0.0, "hide": 0.0}):
        with pytest.raises(UsageError):
            genprob.fit({"x": [0.1, 0.2]}, GSN, steps=0, **options)


def test_dae_is_an_energy_over_reals_and_a_reconstruction_over_other_types():
    reals = Schema((Variable("x", Real()), Variable("y", Real())))
    mixed = Schema((Variable("x", Real()), Variable("g", Categorical(("a", "b")))))
    assert isinstance(dae(reals), EnergyDAE) and not isinstance(dae(reals, form="plain"), EnergyDAE)
    assert isinstance(dae(mixed), GSN) and isinstance(dae(reals, form="reconstruction"), GSN)
    with pytest.raises(UsageError, match="'g' is categorical"):
        dae(mixed, form="energy")
    with pytest.raises(UsageError, match="one of auto, energy"):
        dae(mixed, form="other")
