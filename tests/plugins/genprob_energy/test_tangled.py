"""The general Boltzmann machine against a list of all states of columns and hidden units, at most 12 in all."""

from itertools import product

import numpy as np
import pytest
import xarray as xr

import genprob
from genprob.errors import UsageError
from genprob_energy import layers
from genprob_energy.tangled import Tangled


@pytest.fixture
def joint_of(machine_of, levelled):
    def of(levels, *, spread=0.7, seed=0, **options):
        return machine_of(Tangled, levelled(levels), ("lateral", "visible"), spread=spread, seed=seed, **options)

    return of


def masses(joint, levels, hidden):
    """States of the columns and their log-probabilities, hidden units summed one state at a time."""
    model = joint.model
    lateral = (0.5 * (model.lateral + model.lateral.T) * model.allowed).detach().numpy().astype(float)
    visible, offset = model.visible.detach().numpy().astype(float), model.offset.numpy().astype(float)
    states = np.array(list(product(*map(range, levels))), dtype=float)
    unseen = np.array(list(product([0.0, 1.0], repeat=hidden)))
    out = np.empty(len(states))
    for s, state in enumerate(states):
        each = []
        for h in unseen:
            f = [x for x, size in zip(state, levels, strict=True) if size == 2] + list(h)
            for x, size in zip(state, levels, strict=True):
                f += [float(x == level) for level in range(size)] if size > 2 else []
            away = np.array(f) - offset
            each.append(visible @ away + 0.5 * away @ lateral @ away)
        out[s] = np.logaddexp.reduce(each)
    return states, out - np.logaddexp.reduce(out)


def rows_of(joint, states):
    columns = {}
    for j, variable in enumerate(joint.schema):
        levels = getattr(variable.support, "levels", None)
        columns[variable.name] = states[:, j] if levels is None else [levels[int(x)] for x in states[:, j]]
    return columns


CASES = {"ising": ([2] * 6, 5), "mixed": ([2, 3, 2, 4], 3)}


@pytest.mark.parametrize("most", [4096, 0], ids=["listed", "annealed"])
@pytest.mark.parametrize("case", CASES)
def test_log_prob_sums_the_hidden_units_out(case, most, monkeypatch, joint_of):
    monkeypatch.setattr(layers, "MOST_LISTED", most)
    levels, hidden = CASES[case]
    joint = joint_of(levels, hidden=hidden)
    states, wanted = masses(joint, levels, hidden)
    assert joint.model.partition().kind == "exact"
    found = joint.log_prob(rows_of(joint, states))
    error = found["standard_error"].values
    assert (found.attrs["kind"] == "exact") == (most > 0)
    assert (np.abs(found["log_prob"].values - wanted) < 5 * error + 2e-4).all() and error.max() < 0.3


def test_annealed_log_z_meets_the_list(monkeypatch, joint_of):
    truth = joint_of([2] * 7, hidden=5).model.partition()
    monkeypatch.setattr(layers, "MOST_ENUMERATED", 3)
    monkeypatch.setattr(layers, "MOST_LISTED", 0)
    found = joint_of([2] * 7, hidden=5).model.partition()
    assert truth.kind == "exact" and found.kind == "estimate" and found.reliable
    assert abs(found.value - truth.value) < 5 * found.error and found.error < 0.2


def test_clamped_chains_answer_as_the_list_does(joint_of):
    levels, hidden = CASES["mixed"]
    joint = joint_of(levels, hidden=hidden)
    states, log_p = masses(joint, levels, hidden)
    kept = states[:, 0] == 1
    answer = joint.query(["v1", "v2"], {"v0": 1}, draws=4000)
    assert answer.attrs["strategy"] == "clamped" and answer.attrs["computation"] == "ok"
    share = np.exp(log_p[kept] - np.logaddexp.reduce(log_p[kept]))
    assert float(answer["posterior"]["v2"].mean()) == pytest.approx(share @ states[kept, 2], abs=0.04)
    assert answer.attrs["log_evidence"] == pytest.approx(
        np.logaddexp.reduce(log_p[kept]), abs=5 * answer.attrs["log_evidence_se"] + 1e-3
    )
    assert set(answer["posterior"].data_vars) == {"v1", "v2"}


def test_draws_have_the_columns_alone(joint_of):
    levels, hidden = CASES["ising"]
    joint = joint_of(levels, hidden=hidden)
    states, log_p = masses(joint, levels, hidden)
    drawn = joint.sample(8000)
    assert list(drawn.data_vars) == [f"v{i}" for i in range(6)]
    means = np.array([float(drawn[f"v{i}"].mean()) for i in range(6)])
    np.testing.assert_allclose(means, np.exp(log_p) @ states, atol=0.03)


def test_it_learns_what_pairs_cannot_say():
    """Parity of three columns has no pair that is coupled: hidden units have to carry it."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, (4000, 3))
    x[:, 2] = np.where(rng.random(4000) < 0.9, x[:, 0] ^ x[:, 1], 1 - (x[:, 0] ^ x[:, 1]))
    ds = xr.Dataset({f"v{i}": ("row", x[:, i].astype(float)) for i in range(3)})
    how = {"name": "pcd", "lr": 0.1, "batch_size": 500, "chains": 500, "k": 2}
    joint = genprob.fit(ds, "tangled", hidden=4, steps=800, inference=how)
    log_p = joint.conditional_log_prob({"v0": [0, 1], "v1": [1, 1], "v2": [1, 0]}, given=["v0", "v1"])["log_prob"]
    assert np.exp(log_p.values).min() > 0.75  # pairs alone would say one half


def test_a_hidden_unit_is_owed(levelled):
    with pytest.raises(UsageError, match="at least one hidden unit; boltzmann goes without"):
        genprob.fit(levelled([2, 2]), "tangled", hidden=0, steps=0)
