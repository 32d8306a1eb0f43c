import numpy as np
import pytest
from scipy import stats

from genprob import Soft, Within
from genprob.query.batch import QueryBatch
from genprob.testing import references
from genprob.testing.joints.copula import GaussianCopula
from genprob.testing.joints.gaussian import Gaussian

JOINT = references()["copula"]
R = JOINT.latent.covariance[0]


def test_density_by_the_formula():
    rows = JOINT.sample(40, 1)
    z = np.stack([stats.norm.ppf(law.cdf(rows[:, j])) for j, law in enumerate(JOINT.laws.values())], 1)
    expected = stats.multivariate_normal(np.zeros(5), R).logpdf(z) - stats.norm.logpdf(z).sum(1)
    expected += sum(law.logpdf(rows[:, j]) for j, law in enumerate(JOINT.laws.values()))
    np.testing.assert_allclose(JOINT.log_prob(rows), expected, atol=1e-7)


def test_marginals_are_those_given_and_ranks_are_the_gaussians():
    rows = JOINT.sample(5000, 2)
    for j, law in enumerate(JOINT.laws.values()):
        assert stats.kstest(rows[:, j], law.cdf).pvalue > 1e-3
        alone = np.full((3, 5), np.nan)
        alone[:, j] = rows[:3, j]
        np.testing.assert_allclose(JOINT.log_prob(alone), law.logpdf(rows[:3, j]), atol=1e-9)
    tau = stats.kendalltau(rows[:, 1], rows[:, 4]).statistic
    assert tau == pytest.approx(2 / np.pi * np.arcsin(R[1, 4]), abs=0.04)


def test_with_normal_marginals_it_is_the_gaussian():
    sd, mean = np.array([2.0, 0.5]), np.array([1.0, -3.0])
    correlation = np.array([[1.0, 0.6], [0.6, 1.0]])
    copula = GaussianCopula(correlation, {"a": stats.norm(1.0, 2.0), "b": stats.norm(-3.0, 0.5)})
    gaussian = Gaussian(mean, correlation * np.outer(sd, sd), ["a", "b"])
    rows = [{"a": 0.3}, {"a": Soft(0.3, sd=1.5)}, {"b": Within(-3.5, None)}, {"a": 2.0, "b": Soft(-2.0, sd=0.1)}]
    first, second = (QueryBatch.from_evidence(j.schema, rows) for j in (copula, gaussian))
    np.testing.assert_allclose(copula.log_evidence(first), gaussian.log_evidence(second), atol=1e-10)
    x, y = copula.conditionals(first, 5000, 0), gaussian.conditionals(second, 5000, 1)
    for q in range(4):
        for j in range(2):
            if np.ptp(y[q, :, j]):
                assert stats.ks_2samp(x[q, :, j], y[q, :, j]).pvalue > 1e-3


def test_tails_on_both_sides():
    joint = GaussianCopula(np.eye(2), {"a": stats.expon(), "b": stats.lognorm(1.0)})
    query = QueryBatch.from_evidence(joint.schema, [{"a": Within(50.0, None)}, {"b": Within(None, 1e-6)}])
    expected = [-50.0, stats.norm.logcdf(np.log(1e-6))]
    np.testing.assert_allclose(joint.log_evidence(query), expected, rtol=1e-9)
    assert (joint.conditionals(query, 100, 0)[0, :, 0] >= 50).all()
