import numpy as np
import pytest
from scipy import special, stats

from genprob.testing.choice import along, choose, logsumexp, pick

RNG = np.random.default_rng(0)


def test_choices_have_their_probabilities():
    weight = np.array([[0.2, 0.0, 0.8, 0.0], [0.0, 3.0, 1.0, 0.0]])
    with np.errstate(divide="ignore"):
        log_weight = np.log(weight)
    index = choose(log_weight + 700.0, 40_000, RNG)
    for q in range(2):
        share = np.bincount(index[q], minlength=4) / 40_000
        p = weight[q] / weight[q].sum()
        assert (np.abs(share - p) <= 5 * np.sqrt(p * (1 - p) / 40_000)).all()
    assert choose(np.full((1, 3), -np.inf), 5, RNG).shape == (1, 5)


def test_the_ends_of_the_unit_interval():
    weight = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 2.0], [0.0, 0.0, 5.0]])
    rows = np.repeat(np.arange(3), 2)
    u = np.tile([0.0, np.nextafter(1.0, 0.0)], 3)
    assert pick(weight, rows, u).tolist() == [1, 1, 0, 2, 2, 2]


def test_logsumexp_is_scipys():
    x = RNG.normal(size=(4, 5)) * 800
    np.testing.assert_allclose(logsumexp(x), special.logsumexp(x, axis=1))
    assert logsumexp(np.full((1, 2), -np.inf))[0] == -np.inf


def test_draws_of_a_piecewise_linear_density():
    nodes = np.array([[0.0, 1.0, 1.5, 4.0], [-2.0, -1.0, 0.0, 1.0]])
    density = np.array([[0.0, 2.0, 1.0, 0.0], [1.0, 1.0, 3.0, 1.0]])
    rows = np.repeat([0, 1], 20_000)
    x, at = along(nodes, density, rows, RNG.random((2, 40_000)))
    for r in range(2):
        grid = np.linspace(nodes[r, 0], nodes[r, -1], 200_001)
        mass = np.interp(grid, nodes[r], density[r])
        below = np.cumsum(mass) / mass.sum()
        assert stats.kstest(np.interp(x[rows == r], grid, below), "uniform").pvalue > 1e-3
        np.testing.assert_allclose(at[rows == r], np.interp(x[rows == r], nodes[r], density[r]), atol=1e-9)
    assert along(nodes, density, np.array([0]), np.zeros((2, 1)))[0][0] == pytest.approx(0.0)
