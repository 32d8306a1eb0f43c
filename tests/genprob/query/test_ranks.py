"""Ranks of truths among draws, and the test of their uniformity."""

import numpy as np
import pytest

from genprob.query.ranks import band, rank, uniformity


def test_rank_counts_draws_below_and_breaks_ties_evenly():
    rng = np.random.default_rng(0)
    draws = np.array([[1.0, 2.0, 3.0, 3.0]])
    assert rank(np.array([2.5]), draws, rng)[0] == 2
    tied = [int(rank(np.array([3.0]), draws, rng)[0]) for _ in range(300)]
    assert set(tied) == {2, 3, 4}
    assert abs(np.mean(tied) - 3) < 0.2


def test_p_values_are_uniform_for_uniform_ranks():
    rng = np.random.default_rng(1)
    p = np.array([uniformity(rng.integers(0, 100, size=150), 99) for _ in range(600)])
    assert 0.02 < (p < 0.05).mean() < 0.09
    assert 0.4 < p.mean() < 0.6


@pytest.mark.parametrize("shape", ["shifted", "narrow", "wide", "stuck"])
def test_ranks_of_wrong_draws_are_refuted(shape):
    rng = np.random.default_rng(2)
    truth = rng.normal(size=300)
    centre, scale = {"shifted": (0.5, 1), "narrow": (0, 0.6), "wide": (0, 1.8), "stuck": (0.0, 0.0)}[shape]
    draws = centre + scale * rng.normal(size=(300, 99))
    assert uniformity(rank(truth, draws, rng), 99) < 0.001


def test_the_band_holds_as_a_whole():
    rng = np.random.default_rng(3)
    low, high = band(200, 19, level=0.9)
    counts = np.stack([np.bincount(rng.integers(0, 20, 200), minlength=20) for _ in range(1000)]).cumsum(1)
    inside = ((counts >= low) & (counts <= high)).all(1).mean()
    assert 0.86 < inside < 0.95


def test_too_few_ranks_decide_nothing():
    assert uniformity(np.zeros(9, dtype=int), 99) == 1.0
