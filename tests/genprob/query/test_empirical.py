"""Counted marginals against numpy."""

import numpy as np

from genprob.query.empirical import marginals
from genprob.results.record import QUANTILES


def test_marginals_are_those_of_the_draws(schema):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2, (3, 4000, schema.width)).astype(float)
    values[:, :, 0] = rng.normal(size=(3, 4000))
    out = marginals(schema, values, ("x", "g", "b", "v"))
    x = values[:, :, 0]
    np.testing.assert_allclose(out["x"].mean, x.mean(1))
    np.testing.assert_allclose(out["x"].sd, x.std(1))
    np.testing.assert_allclose(out["x"].mcse, x.std(1) / np.sqrt(4000))
    share = (x[:, :, None] <= out["x"].quantiles[:, None]).mean(1)
    np.testing.assert_allclose(share, np.tile(QUANTILES, (3, 1)), atol=1 / 2000)
    assert np.isin(out["x"].quantiles, x).all()  # quantiles are draws, so cells and counts stay on their grid
    np.testing.assert_allclose(out["g"].pmf, [[(q[:, 5] == v).mean() for v in range(3)] for q in values])
    assert np.isnan(out["g"].mean).all() and out["v"].pmf.shape == (3, 4, 2) and out["v"].mean.shape == (3, 4)
    p = out["b"].pmf[:, 1]
    np.testing.assert_allclose(out["b"].pmf_mcse[:, 1], np.sqrt(p * (1 - p) / 4000))
    assert not out["x"].rao_blackwell


def test_queries_without_draws_have_no_marginals(schema):
    out = marginals(schema, np.full((1, 1, schema.width), np.nan), ("x", "g"))
    assert np.isnan(out["x"].mean).all() and np.isnan(out["g"].pmf).all()
