"""Sum-product on a grid against a Gaussian's closed forms, plain Monte Carlo and a finer grid."""

import time

import numpy as np
import pytest
from scipy import stats

from genprob import Soft, Within
from genprob.errors import UsageError
from genprob.query.batch import QueryBatch
from genprob.testing import references
from genprob.testing.joints.gaussian import Gaussian
from genprob.testing.joints.tree import GaussianTree, Node, benchmark_hmm, benchmark_tree

TREE, HMM = references()["tree"], references()["hmm"]


def test_densities_by_the_formulas():
    t = TREE.sample(30, 1)
    normal = stats.norm.logpdf
    expected = normal(t[:, 0]) + normal(t[:, 1], t[:, 0]) + normal(t[:, 2], t[:, 0])
    expected += normal(t[:, 3], np.sin(t[:, 1]) ** 2, 0.2) + normal(t[:, 4], 0.1 * t[:, 1] ** 2, 0.2)
    expected += normal(t[:, 5], 0.1 * t[:, 2] ** 2, 0.6) + normal(t[:, 6], np.cos(t[:, 2]) ** 2, 0.1)
    np.testing.assert_allclose(TREE.log_prob(t), expected, atol=1e-10)
    h = HMM.sample(30, 1)
    before = np.concatenate([np.zeros((30, 1)), h[:, :9]], 1)
    expected = (normal(h[:, :10], before, 0.5) + normal(h[:, 10:], h[:, :10] ** 2, 0.5)).sum(1)
    np.testing.assert_allclose(HMM.log_prob(h), expected, atol=1e-10)
    assert HMM.schema.names == (*(f"theta{i}" for i in range(10)), *(f"x{i}" for i in range(10)))


LINEAR = GaussianTree(
    [Node("a", 1.0), Node("b", 0.6, "a"), Node("c", 0.8, "b"), Node("d", 0.4, "a"), Node("e", 0.5, "c")], reach=12.0
)


def linear_gaussian():
    """The linear tree as a Gaussian: x = L noise."""
    influence = np.array([[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 0, 0, 1, 0], [1, 1, 1, 0, 1]], float)
    covariance = influence @ np.diag(np.square([1.0, 0.6, 0.8, 0.4, 0.5])) @ influence.T
    return Gaussian(np.zeros(5), covariance, "abcde")


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"e": 1.3},
        {"b": 0.4, "d": -0.2},
        {"e": Soft(1.0, sd=0.3), "d": 0.5},
        {"a": Soft(0.2, sd=0.05), "c": Soft(-1.0, sd=2.0)},
        {"b": Within(-0.3, 0.4), "e": 0.9},
        {"e": Within(1.0, None), "a": 0.1},
        {"c": Within(None, -2.0), "d": Soft(0.5, sd=0.2), "e": Soft(0.0, sd=1.0)},
        {"a": Within(0.1, 0.1001), "e": 1.0},
    ],
    ids=str,
)
def test_a_linear_tree_is_a_gaussian(given):
    gaussian = linear_gaussian()
    first, second = (QueryBatch.from_evidence(j.schema, [given]) for j in (LINEAR, gaussian))
    assert LINEAR.log_evidence(first)[0] == pytest.approx(gaussian.log_evidence(second)[0], abs=1e-9)
    x, y = LINEAR.conditional(first, 4000, 1), gaussian.conditional(second, 4000, 2)
    for direction in [*np.eye(5), *np.random.default_rng(3).normal(size=(4, 5))]:
        if np.ptp(y @ direction) > 1e-9:
            assert stats.ks_2samp(x @ direction, y @ direction).pvalue > 1e-4


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("tree", {"x2": Within(0.3, 0.9), "x4": Within(None, 0.4), "theta1": Within(-1.0, 2.0)}),
        ("tree", {"theta2": Within(0.5, None), "x3": Within(0.0, 1.0), "x1": Soft(0.5, sd=0.3)}),
        ("hmm", {"x3": Within(1.0, 2.5), "x7": Within(2.0, None), "theta5": Within(0.0, None)}),
        ("hmm", {"theta2": Within(-0.5, 0.5), "x9": Within(1.0, 6.0), "x4": Soft(0.5, sd=0.5)}),
    ],
)
def test_intervals_against_rejection(name, given):
    """Draws of the joint by the definition, weighed by the evidence."""
    rng, n = np.random.default_rng(0), 400_000
    rows = simulated_tree(rng, n) if name == "tree" else simulated_hmm(rng, n)
    reference = references()[name]
    weight = np.ones(n)
    for variable, evidence in given.items():
        x = rows[:, reference.schema.slices[variable].start]
        if isinstance(evidence, Soft):
            weight = weight * stats.norm.pdf(evidence.value, x, evidence.sd)
        else:
            low, high = (-np.inf if evidence.lo is None else evidence.lo), (evidence.hi or np.inf)
            weight = weight * ((x >= low) & (x <= high))
    query = QueryBatch.from_evidence(reference.schema, [given])
    error = weight.std() / weight.mean() / np.sqrt(n)
    assert reference.log_evidence(query)[0] == pytest.approx(np.log(weight.mean()), abs=5 * error)
    assert error < 0.02
    draws = reference.conditional(query, 8000, 1)
    kept = rows[rng.random(n) * weight.max() < weight]
    for direction in [*np.eye(reference.schema.width), *rng.normal(size=(5, reference.schema.width))]:
        assert stats.ks_2samp(draws @ direction, kept @ direction).pvalue > 1e-4


def simulated_tree(rng, n):
    one = rng.normal(size=n)
    two, three = one + rng.normal(size=n), one + rng.normal(size=n)
    x = np.sin(two) ** 2, 0.1 * two**2, 0.1 * three**2, np.cos(three) ** 2
    noise = rng.normal(size=(4, n)) * np.array([0.2, 0.2, 0.6, 0.1])[:, None]
    return np.stack([one, two, three, *(np.stack(x) + noise)], 1)


def simulated_hmm(rng, n):
    theta = np.cumsum(0.5 * rng.normal(size=(n, 10)), 1)
    return np.concatenate([theta, theta**2 + 0.5 * rng.normal(size=(n, 10))], 1)


@pytest.mark.parametrize("build", [benchmark_tree, benchmark_hmm])
def test_the_grid_is_fine_enough(build):
    """Half the step and a longer reach change the log-evidence of the joint's own rows by less than is stated."""
    coarse = build()
    fine = GaussianTree(coarse.nodes.values(), reach=1.3 * coarse.reach, step=coarse.step / 2)
    rows = coarse.sample(60, 4)
    rng = np.random.default_rng(1)
    rows[rng.random(rows.shape) < 0.6] = np.nan
    np.testing.assert_allclose(coarse.log_prob(rows), fine.log_prob(rows), atol=1e-7)


def test_draws_of_a_narrow_posterior_have_its_moments():
    """theta given a large x: two modes, each narrower than two steps of the grid."""
    row = np.full(20, np.nan)
    row[10] = 16.0
    draws = HMM.conditional(row, 40_000, 2)[:, 0]
    x = np.linspace(3.0, 5.0, 200_001)
    mass = stats.norm.pdf(x, 0, 0.5) * stats.norm.pdf(16.0, x**2, 0.5)
    mass /= mass.sum()
    mean, sd = mass @ x, np.sqrt(mass @ (x - mass @ x) ** 2)
    assert np.abs(draws).mean() == pytest.approx(mean, abs=5 * sd / np.sqrt(40_000))
    assert np.abs(draws).std() == pytest.approx(sd, rel=0.02)
    assert (draws > 0).mean() == pytest.approx(0.5, abs=0.0125)
    place = np.interp(np.abs(draws), x, np.cumsum(mass))
    assert stats.kstest(place, "uniform").pvalue > 1e-3


def test_evidence_from_beyond_the_grid_is_refused():
    for given in ({"x3": 200.0}, {"theta2": 10.5}, {"theta2": Within(10.0, 12.0)}, {"x1": Within(150.0, None)}):
        query = QueryBatch.from_evidence(HMM.schema, [given])
        with pytest.raises(UsageError, match="beyond the grid"):
            HMM.log_evidence(query)
    odd = QueryBatch.from_evidence(TREE.schema, [{"x1": 3.0}])  # no angle has such a sine, and no grid is at fault
    fine = GaussianTree(TREE.nodes.values(), reach=14.0, step=0.02)
    assert TREE.log_evidence(odd)[0] == pytest.approx(fine.log_evidence(odd)[0], abs=1e-6)


def test_a_hundred_conditionals_of_a_thousand_draws_take_seconds():
    rows = HMM.sample(100, 1)
    rows[np.random.default_rng(1).random(rows.shape) < 0.5] = np.nan
    started = time.process_time()
    HMM.conditionals(QueryBatch.from_values(HMM.schema, rows), 1000, 0)
    assert time.process_time() - started < 15.0
