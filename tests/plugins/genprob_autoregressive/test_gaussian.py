import math

import numpy as np
import pytest
import torch

from genprob_autoregressive.gaussian import RIDGE, Gaussian


def filled(seed=0, d=4):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(d, d))
    base = Gaussian(d)
    base.mean.copy_(torch.as_tensor(rng.normal(size=d)))
    base.covariance.copy_(torch.as_tensor(root @ root.T + 0.3 * np.eye(d)))
    return base, rng


@pytest.mark.parametrize("rows", [6, 2000])
def test_moments_are_those_of_the_matrix_formula(rows):
    base, rng = filled()
    y, known = rng.normal(size=(rows, 4)), rng.random((rows, 4)) < 0.5
    got = base.moments(torch.as_tensor(y), torch.as_tensor(known))
    mu, cov = base.mean.numpy(), base.covariance.numpy()
    for i in range(0, rows, max(1, rows // 60)):
        o, u = known[i], ~known[i]
        inverse = np.linalg.inv(cov[np.ix_(o, o)])
        away = y[i, o] - mu[o]
        mean = mu[u] + cov[np.ix_(u, o)] @ inverse @ away
        variance = np.diag(cov[np.ix_(u, u)] - cov[np.ix_(u, o)] @ inverse @ cov[np.ix_(o, u)])
        assert np.allclose(got.mean[i, u], mean) and np.allclose(got.sd[i, u], np.sqrt(variance))
        assert np.allclose(got.mean[i, o], y[i, o])
        density = -0.5 * (away @ inverse @ away + o.sum() * math.log(2 * math.pi) - np.linalg.slogdet(inverse)[1])
        assert np.isclose(float(got.log_density[i]), density)


def test_surprise_is_the_standardised_error_of_predicting_each_value_from_the_others():
    base, rng = filled(1)
    y, known = rng.normal(size=(50, 4)), rng.random((50, 4)) < 0.7
    got = base.moments(torch.as_tensor(y), torch.as_tensor(known)).surprise
    for i in range(50):
        for j in range(4):
            if not known[i, j]:
                assert got[i, j] == 0
                continue
            rest = known[i].copy()
            rest[j] = False
            without = base.moments(torch.as_tensor(y[i : i + 1]), torch.as_tensor(rest[None]))
            expected = (y[i, j] - float(without.mean[0, j])) / float(without.sd[0, j])
            assert np.isclose(float(got[i, j]), np.clip(expected, -6, 6))


def test_em_finds_the_moments_of_complete_rows_and_of_rows_with_holes():
    base, rng = filled(2, d=3)
    y = torch.as_tensor(rng.multivariate_normal(base.mean.numpy(), base.covariance.numpy(), 20_000))
    fitted = Gaussian(3)
    fitted.fit(y, torch.ones_like(y, dtype=torch.bool))
    assert torch.allclose(fitted.mean, y.mean(0))
    assert torch.allclose(fitted.covariance, torch.cov(y.T, correction=0) + RIDGE * torch.eye(3))
    random = torch.as_tensor(rng.random((20_000, 3)) < 0.7)
    dependent = torch.ones_like(random)
    dependent[:, 2] = y[:, 0] < base.mean[0]  # missing at random: whether y2 is seen depends on y0, which is seen
    for known in (random, dependent):
        fitted.fit(y, known)
        assert torch.allclose(fitted.mean, base.mean, atol=0.08)
        assert torch.allclose(fitted.covariance, base.covariance, rtol=0.1, atol=0.15)
    seen = y[dependent[:, 2], 2].mean()
    assert abs(float(seen - base.mean[2])) > 0.2  # what a mean over the seen cells would be


def test_wide_and_empty_tables_have_moments():
    y = torch.randn(5, 70, dtype=torch.float64)
    base = Gaussian(70)
    got = base.moments(y, torch.rand(5, 70) < 0.5)
    assert bool(torch.isfinite(got.mean).all()) and bool((got.sd > 0).all())
    none = Gaussian(0).moments(y[:, :0], torch.zeros(5, 0, dtype=torch.bool))
    assert none.log_density.tolist() == [0.0] * 5


def test_densities_under_many_masks_are_those_of_the_moments():
    base, rng = filled(3)
    y, masks = torch.as_tensor(rng.normal(size=(7, 4))), torch.as_tensor(rng.random((9, 4)) < 0.5)
    got = base.log_density(y, masks)
    for mask, row in zip(masks, got, strict=True):
        assert torch.allclose(row, base.moments(y, mask.expand(7, -1)).log_density)


def test_completed_rows_have_the_law_of_the_gaussian_given_what_is_known():
    base, _ = filled(4)
    known = torch.tensor([True, False, True, False]).expand(40_000, -1)
    y = torch.tensor([0.3, 9.0, -1.2, 9.0], dtype=torch.float64).expand(40_000, -1)
    drawn = base.completed(y, known, torch.Generator().manual_seed(0))
    assert torch.equal(drawn[:, [0, 2]], y[:, [0, 2]])
    exact, cov = base.moments(y[:1], known[:1]), base.covariance
    u, o = [1, 3], [0, 2]
    left = cov[u][:, u] - cov[u][:, o] @ torch.linalg.inv(cov[o][:, o]) @ cov[o][:, u]
    assert torch.allclose(drawn[:, u].mean(0), exact.mean[0, u], atol=0.03)
    assert torch.allclose(torch.cov(drawn[:, u].T), left, atol=0.1)
