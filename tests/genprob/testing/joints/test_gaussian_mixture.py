import numpy as np
import pytest
from scipy import special, stats

from genprob import Within
from genprob.query.batch import QueryBatch
from genprob.testing import references
from genprob.testing.joints.gaussian_mixture import GaussianMixture

JOINT = references()["gaussian-mixture"]


def test_density_is_scipys():
    rows = JOINT.sample(60, 2)
    parts = [stats.multivariate_normal(m, c).logpdf(rows) for m, c in zip(JOINT.mean, JOINT.covariance, strict=True)]
    np.testing.assert_allclose(JOINT.log_prob(rows), special.logsumexp(parts, 0, b=JOINT.weight[:, None]), atol=1e-10)


def test_components_are_drawn_by_their_posterior():
    """Two components far apart: a point of one column tells them apart by Bayes' rule."""
    joint = GaussianMixture([0.3, 0.7], [[0.0, -50.0], [1.0, 50.0]], np.stack([np.eye(2)] * 2))
    x = 0.2
    odds = 0.3 * stats.norm.pdf(x) / (0.7 * stats.norm.pdf(x - 1))
    share = (joint.conditional(np.array([x, np.nan]), 20_000, 0)[:, 1] < 0).mean()
    assert share == pytest.approx(odds / (1 + odds), abs=0.015)


def test_an_interval_chooses_components_and_cuts_them():
    joint = GaussianMixture([0.5, 0.5], [[-3.0, 0.0], [3.0, 1.0]], np.stack([np.eye(2), [[1.0, 0.9], [0.9, 1.0]]]))
    query = QueryBatch.from_evidence(joint.schema, [{"x1": Within(-0.5, 2.0)}])
    mass = 0.5 * (stats.norm.cdf(5.0) - stats.norm.cdf(2.5)) + 0.5 * (stats.norm.cdf(-1.0) - stats.norm.cdf(-3.5))
    assert joint.log_evidence(query)[0] == pytest.approx(np.log(mass), abs=1e-12)
    draws = joint.conditional(query, 50_000, 0)
    rows = joint.sample(2_000_000, 1)
    rows = rows[(rows[:, 0] >= -0.5) & (rows[:, 0] <= 2.0)]
    for column in range(2):
        assert stats.ks_2samp(draws[:, column], rows[:, column]).pvalue > 1e-3
    assert stats.ks_2samp(draws @ [1.0, -1.0], rows @ [1.0, -1.0]).pvalue > 1e-3
