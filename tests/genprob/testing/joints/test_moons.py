"""Two moons against its own simulator and plain sums over a plane."""

import numpy as np
import pytest
from scipy import stats

from genprob.query.batch import QueryBatch
from genprob.testing.joints.moons import TwoMoons

MOONS = TwoMoons()
ROOT2 = np.sqrt(2)


def simulated(n, seed):
    """The definition, step by step."""
    rng = np.random.default_rng(seed)
    theta = rng.uniform(-1, 1, (n, 2))
    a, r = rng.uniform(-np.pi / 2, np.pi / 2, n), rng.normal(0.1, 0.01, n)
    x0 = r * np.cos(a) + 0.25 - np.abs(theta[:, 0] + theta[:, 1]) / ROOT2
    x1 = r * np.sin(a) + (theta[:, 1] - theta[:, 0]) / ROOT2
    return np.column_stack([theta, x0, x1])


SIMULATED = simulated(1_000_000, 0)
ROWS = simulated(6, 1)
MASKS = [np.array([bool(i >> k & 1) for k in range(4)]) for i in range(16)]


def test_the_likelihood_is_the_density_of_the_simulator():
    """Two-dimensional bins around one theta, in polar coordinates about its centre."""
    theta = np.array([0.3, -0.5])
    rng = np.random.default_rng(2)
    a, r = rng.uniform(-np.pi / 2, np.pi / 2, 400_000), rng.normal(0.1, 0.01, 400_000)
    x = np.column_stack([r * np.cos(a) + 0.25 - np.abs(theta.sum()) / ROOT2, r * np.sin(a) + (-0.8) / ROOT2])
    edges = [np.linspace(x[:, i].min(), x[:, i].max(), 60) for i in range(2)]
    count, *_ = np.histogram2d(x[:, 0], x[:, 1], edges)
    fine = 6
    inner = [np.concatenate([e[:-1, None] + np.diff(e)[:, None] * (np.arange(fine) + 0.5) / fine]) for e in edges]
    grid = np.stack(np.meshgrid(inner[0].ravel(), inner[1].ravel(), indexing="ij"), -1).reshape(-1, 2)
    rows = np.column_stack([np.tile(theta, (len(grid), 1)), grid])
    density = np.exp(MOONS.log_prob(rows) + np.log(4)).reshape(59, fine, 59, fine).mean((1, 3))
    expected = 400_000 * density * np.diff(edges[0])[:, None] * np.diff(edges[1])
    assert expected.sum() == pytest.approx(400_000, rel=0.01)
    full = expected > 50
    z = (count - expected)[full] / np.sqrt(expected[full])
    assert np.abs(z).max() < 6
    assert (z**2).mean() == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("known", MASKS[1:], ids=str)
def test_what_is_unknown_is_integrated(known):
    """Each cell more that is unknown is a sum over it, worked out on a fine lattice; its jumps cost accuracy."""
    ranges = [(-1.0, 1.0), (-1.0, 1.0), (-1.3, 0.6), (-1.7, 1.7)]
    for row in ROWS[:2]:
        values = np.where(known, row, np.nan)[None]
        column = int(np.flatnonzero(known)[-1])
        low, high = ranges[column]
        x = np.linspace(low, high, 6001)
        less = values.copy()
        less[0, column] = np.nan
        rows = np.repeat(values, len(x), 0)
        rows[:, column] = x
        total = np.exp(MOONS.log_prob(rows)).sum() * (x[1] - x[0])
        assert np.log(total) == pytest.approx(MOONS.log_prob(less)[0], abs=5e-3)


def test_both_data_by_a_sum_over_the_square():
    side = np.linspace(-1, 1, 1501)
    side = (side[1:] + side[:-1]) / 2
    theta = np.stack(np.meshgrid(side, side, indexing="ij"), -1).reshape(-1, 2)
    for x in (ROWS[0, 2:], np.array([0.25, 0.02]), np.array([-1.1, 0.1])):
        centre = np.column_stack([np.abs(theta.sum(1)) - 0.25 * ROOT2, theta[:, 0] - theta[:, 1]]) / ROOT2
        close = theta[np.hypot(*(x + centre).T) < 0.2]
        rows = np.column_stack([close, np.tile(x, (len(close), 1))])
        total = np.exp(MOONS.log_prob(rows)).sum() * (side[1] - side[0]) ** 2
        found = MOONS.log_prob([[np.nan, np.nan, *x]])[0]
        assert found == pytest.approx(np.log(total), abs=1.5e-2)
        # the same as a share of (r, a), whose lattice has no jumps at the crescent's ends
        r = stats.norm.ppf((np.arange(1500) + 0.5) / 1500, 0.1, 0.01)[:, None]
        a = np.pi * ((np.arange(1500) + 0.5) / 1500 - 0.5)
        s, d = r * np.cos(a) + 0.25 - x[0], x[1] - r * np.sin(a)
        assert found == pytest.approx(np.log(((s >= 0) & (s + np.abs(d) <= ROOT2)).mean() / 2), abs=2e-3)


@pytest.mark.parametrize("known", [m for m in MASKS if m.sum() < 2], ids=str)
def test_draws_are_of_the_simulator_s_conditionals(known):
    """Against simulated rows near the given value; what the width of that window costs is allowed for."""
    row = simulated(1, 5)[0]
    draws = MOONS.conditional(np.where(known, row, np.nan), 5000, 3)
    near = SIMULATED[(np.abs(SIMULATED[:, known] - row[known]) < 0.004).all(1)][:20_000]
    for direction in [*np.eye(4)[~known], *(np.random.default_rng(1).normal(size=(4, 4)) * ~known)]:
        apart = stats.ks_2samp(draws @ direction, near @ direction)
        assert apart.statistic < 2.2 * np.sqrt(1 / len(draws) + 1 / len(near))


@pytest.mark.parametrize("known", [m for m in MASKS if 0 < m.sum() < 4], ids=str)
def test_draws_have_uniform_ranks(known):
    """Column after column: the place of a draw in the law of its column given those before, on a fine lattice."""
    row = simulated(1, 6)[0]
    draws = MOONS.conditional(np.where(known, row, np.nan), 100, 4)
    pooled = []
    given = np.where(known, draws, np.nan)
    for column in np.flatnonzero(~known):
        low, high = [(-1.0, 1.0), (-1.0, 1.0), (-1.3, 0.6), (-1.7, 1.7)][column]
        x = np.linspace(low, high, 2001)
        for first in range(1) if (given == given[0])[:, ~np.isnan(given[0])].all() else range(100):
            rows = np.repeat(given[first : first + 1], len(x), 0)
            rows[:, column] = x
            mass = np.exp(MOONS.log_prob(rows))
            of = draws[:, column] if (given == given[0])[:, ~np.isnan(given[0])].all() else draws[first, column]
            pooled.append(np.atleast_1d(np.interp(of, x, np.cumsum(mass) - mass / 2) / mass.sum()))
        given[:, column] = draws[:, column]
    assert stats.kstest(np.concatenate(pooled), "uniform").pvalue > 1e-3


def test_two_crescents_are_alike():
    """theta and its mirror image in the other diagonal lead to the same x."""
    draws = MOONS.conditional(np.array([np.nan, np.nan, 0.0, 0.0]), 20_000, 1)
    assert (draws.sum(1) > 0).mean() == pytest.approx(0.5, abs=0.02)
    rows = np.column_stack([-draws[:5, 1], -draws[:5, 0], draws[:5, 2:]])
    np.testing.assert_allclose(MOONS.log_prob(rows), MOONS.log_prob(draws[:5]), atol=1e-9)


def test_where_nothing_leads_is_impossible():
    query = QueryBatch.from_evidence(MOONS.schema, [{"theta0": 0.0, "theta1": 0.0, "x0": -0.5, "x1": 0.0}])
    assert MOONS.log_evidence(query)[0] == -np.inf
