import numpy as np
import pytest
from scipy import stats

from genprob import Soft, Within
from genprob.query.batch import QueryBatch
from genprob.testing import references
from genprob.testing.joints.gaussian import Gaussian

JOINT = references()["gaussian"]
MEAN, COVARIANCE = JOINT.mean[0], JOINT.covariance[0]


def test_density_is_scipys():
    rows = JOINT.sample(50, 1)
    law = stats.multivariate_normal(MEAN, COVARIANCE)
    np.testing.assert_allclose(JOINT.log_prob(rows), law.logpdf(rows), atol=1e-10)


def test_conditionals_by_the_precision_matrix():
    """x_U given x_O has precision P_UU and mean m_U - P_UU^-1 P_UO (o - m_O): other algebra, the same law."""
    precision = np.linalg.inv(COVARIANCE)
    known, unknown = [0, 2], [1, 3]
    row = np.array([0.7, np.nan, -1.4, np.nan])
    inner = np.linalg.inv(precision[np.ix_(unknown, unknown)])
    mean = MEAN[unknown] - inner @ precision[np.ix_(unknown, known)] @ (row[known] - MEAN[known])
    draws = JOINT.conditional(row, 40_000, 3)[:, unknown]
    assert (np.abs(draws.mean(0) - mean) < 5 * np.sqrt(np.diag(inner) / 40_000)).all()
    np.testing.assert_allclose(np.cov(draws.T), inner, atol=5 * inner.max() * np.sqrt(2 / 40_000))


def test_readings_and_an_interval_against_rejection():
    given = {"x1": Soft(0.5, sd=0.7), "x4": Within(2.0, 3.5), "x2": Soft(2.0, sd=3.0)}
    query = QueryBatch.from_evidence(JOINT.schema, [given])
    rng = np.random.default_rng(0)
    rows = rng.multivariate_normal(MEAN, COVARIANCE, 400_000)
    weight = stats.norm.pdf(0.5, rows[:, 0], 0.7) * stats.norm.pdf(2.0, rows[:, 1], 3.0)
    weight = weight * ((rows[:, 3] >= 2) & (rows[:, 3] <= 3.5))
    error = weight.std() / weight.mean() / np.sqrt(len(rows))
    assert JOINT.log_evidence(query)[0] == pytest.approx(np.log(weight.mean()), abs=5 * error)
    draws = JOINT.conditional(query, 20_000, 1)
    truth = weight @ rows / weight.sum()
    spread = np.sqrt(weight @ (rows - truth) ** 2 / weight.sum())
    worth = weight.sum() ** 2 / (weight**2).sum()
    assert (np.abs(draws.mean(0) - truth) < 5 * spread * np.sqrt(1 / worth + 1 / 20_000)).all()
    assert (np.abs(draws.std(0) - spread) < 5 * spread * np.sqrt(1 / worth + 1 / 20_000)).all()


def test_far_intervals_keep_their_digits():
    joint = Gaussian([0.0], [[1.0]])
    query = QueryBatch.from_evidence(joint.schema, [{"x1": Within(40.0, None)}, {"x1": Within(None, -40.0)}])
    np.testing.assert_allclose(joint.log_evidence(query), stats.norm.logsf(40), rtol=1e-12)
    draws = joint.conditionals(query, 5000, 0)[..., 0]
    assert (draws[0] >= 40).all()
    assert (draws[1] <= -40).all()
    assert stats.kstest((draws[0] - 40) * 40, "expon").pvalue > 1e-3  # the tail is nearly exponential


def test_marginals_of_points_are_closed():
    query = QueryBatch.from_evidence(JOINT.schema, [{"x1": 0.3}, {"x1": Soft(0.3, sd=0.5)}], ["x2"])
    marginal = JOINT.marginals(query, ("x2",))["x2"]
    slope = COVARIANCE[1, 0] / COVARIANCE[0, 0]
    assert marginal.mean[0] == pytest.approx(MEAN[1] + slope * 0.3)
    assert marginal.sd[0] == pytest.approx(np.sqrt(COVARIANCE[1, 1] - slope * COVARIANCE[1, 0]))
    assert marginal.quantiles[0] == pytest.approx(
        stats.norm(marginal.mean[0], marginal.sd[0]).ppf([0.025, 0.05, 0.25, 0.5, 0.75, 0.95, 0.975])
    )
    assert marginal.sd[1] > marginal.sd[0]
    assert (marginal.mcse == 0).all()
