"""Groups of cells are calibrated where the truth is, and not where intervals are too narrow."""

import numpy as np
import pytest

from benchmarks.cover import cells_within

EDGES = (0.4, 0.6)


def groups(rng, columns=40, rows=3000):
    ranks, shares = rng.random((rows, columns)), rng.random(rows)
    ranks[rng.random(ranks.shape) < shares[:, None]] = np.nan
    return ranks, shares


def test_uniform_ranks_reach_what_a_perfect_model_is_said_to_reach():
    good, judged, perfect = cells_within(*groups(np.random.default_rng(0)), EDGES, 0.03)
    assert judged == 120
    assert good / judged == pytest.approx(perfect, abs=4 * np.sqrt(perfect * (1 - perfect) / judged))


def test_narrow_intervals_are_found_in_the_group_that_has_them():
    ranks, shares = groups(np.random.default_rng(1))
    outer = np.where(ranks < 0.5, ranks * 0.6, 1 - (1 - ranks) * 0.6)
    good, judged, _ = cells_within(np.where(shares[:, None] > 0.6, outer, ranks), shares, EDGES, 0.05)
    assert judged == 120
    assert 74 <= good <= 80


def test_groups_of_few_cells_are_left_out():
    ranks, shares = groups(np.random.default_rng(2), columns=3)
    ranks[50:, 1] = np.nan
    assert cells_within(ranks, shares, EDGES, 0.03)[1] == 6
