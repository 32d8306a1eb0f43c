"""Codes of any model that has one: sums of codes decode to what they should, and what has no code is refused."""

import numpy as np
import pytest
import torch

import genprob
from genprob.errors import UsageError
from genprob.questions.codes import arithmetic, decode, encode, interpolate, plane

OPTIONS = {"latent": 2, "hidden": (8,)}


@pytest.fixture(scope="module")
def joint():
    rng = np.random.default_rng(0)
    data = {name: rng.normal(size=60) for name in ("a", "b", "c")} | {"g": rng.choice(["u", "v"], 60)}
    return genprob.fit(data, "vae", steps=1, **OPTIONS)


@pytest.fixture(scope="module", params=["vae", "gan"])
def any_joint(request):
    rng = np.random.default_rng(0)
    return genprob.fit({"a": rng.normal(size=60), "b": rng.normal(size=60)}, request.param, steps=2, **OPTIONS)


def rows(count, seed=1):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=count) for name in ("a", "b", "c")} | {"g": rng.choice(["u", "v"], count)}


def test_the_sum_of_codes_is_what_is_decoded(joint):
    found = arithmetic(joint, rows(3), seed=4)
    code = encode(joint, rows(3))["code"].values
    total = code[0] - code[1] + code[2]
    prior = torch.distributions.Normal(0.0, 1.0)
    density = prior.log_prob(torch.as_tensor(np.concatenate([code, total[None]]))).sum(1).numpy()
    assert np.allclose(found["log_prob"].values, density, atol=1e-5)
    assert found["term"].values.tolist() == ["a", "b", "c", "a - b + c"]
    there = decode(joint, total[None], draws=4000)
    spread = there["a"].values.std() / 8  # of the mean of 64 draws
    assert abs(float(found["a"][3]) - float(there["a"].mean())) < 4 * spread
    assert "g" not in found  # labels have no mean


def test_any_model_with_a_code_has_a_way_and_a_plane(any_joint):
    data = {"a": [0.5, -1.0], "b": [0.25, 1.5]}
    way = interpolate(any_joint, data, steps=4)
    assert way["a"].dims == ("step",) and np.isfinite(way["log_prob"].values).all()
    ends = encode(any_joint, data)["code"].values
    density = -0.5 * (ends**2).sum(1) - np.log(2 * np.pi)
    assert np.allclose(way["log_prob"].values[[0, -1]], density, atol=1e-5)
    assert plane(any_joint, steps=3)["b"].shape == (3, 3)


def test_what_cannot_be_is_said(joint):
    with pytest.raises(UsageError, match="three rows"):
        arithmetic(joint, rows(2))
    without = genprob.fit({"x": [0.11, 0.23, 0.31]}, "mixture", components=1)
    for ask in (lambda: encode(without, {"x": [0.1]}), lambda: plane(without), lambda: decode(without, [[0.0]])):
        with pytest.raises(UsageError, match="Mixture has no code"):
            ask()
