"""A law that is not reached within the budget is said to be unreliable, with the reason."""

import numpy as np
import pytest

import genprob
from genprob import Within


def unreliable(answer):
    return (answer.attrs["reliable"], answer.attrs["computation"]) == (0, "fail")


def test_a_chain_that_corrupts_too_little_to_cross_is_seen():
    """Four labels that are always equal, one cell in fifty hidden and none altered: the chain stays where it began."""
    g = np.where(np.arange(300) % 2, "u", "v")
    joint = genprob.fit(
        {"a": g, "b": g, "c": g, "d": g}, "gsn", steps=120, hidden=(16,), sigma=0.0, replace=0.0, hide=0.02, seed=0,
        inference={"name": "dsm", "lr": 2e-2},
    )  # fmt: skip
    answer = joint.query(["a"], draws=100, seed=0, strategy="denoising", budget=100)
    assert unreliable(answer) and "the chains have not mixed" in answer.attrs["reasons"]


@pytest.fixture(scope="module")
def diffusion():
    rows = np.random.default_rng(0).normal(size=(300, 3))
    return genprob.fit({n: rows[:, i] for i, n in enumerate("xyz")}, "score", steps=30, hidden=(16,), seed=0)


def test_modes_that_no_chain_of_a_denoiser_crosses_are_seen():
    side = np.where(np.arange(400) % 2, 1.0, -1.0)
    rows = {
        "x": side + 0.01 * np.random.default_rng(0).normal(size=400),
        "y": np.random.default_rng(1).normal(size=400),
    }
    joint = genprob.fit(
        rows, "dae", form="plain", sigma=0.03, hidden=(32,), steps=150, inference={"name": "dsm", "lr": 1e-2}
    )
    answer = joint.query(["x"], {"y": 0.1}, draws=100, seed=0, budget=100)
    assert unreliable(answer) and "the chains have not mixed" in answer.attrs["reasons"]


def test_particles_that_are_too_few_are_seen(diffusion):
    answer = diffusion.query(["x"], {"y": 2.5, "z": -2.0}, draws=50, seed=0, budget=8)
    assert unreliable(answer) and "particles have descendants; at least 50 are needed" in answer.attrs["reasons"]


def test_evidence_that_hardly_any_particle_meets_is_seen(diffusion):
    answer = diffusion.query(["x"], {"y": Within(40.0, 41.0)}, draws=50, seed=0, budget=64)
    assert answer.attrs["reliable"] == 0
    assert "particles" in answer.attrs["reasons"] or "disagree on the log-evidence" in answer.attrs["reasons"]
    assert "fewer than one in 300 rows would meet the evidence" in answer.attrs["reasons"]
