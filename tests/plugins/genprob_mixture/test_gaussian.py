"""Gaussian blocks against numpy, one mask at a time."""

import numpy as np
import pytest
import torch
from scipy import stats

from genprob_mixture import gaussian
from genprob_mixture.patterns import group


def spheres(components, d, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(components, d, d))
    return rng.normal(size=(components, d)), a @ a.transpose(0, 2, 1) / d + 0.2 * np.eye(d)


def masks(d, rng):
    out = rng.random((9, d)) < 0.5
    out[0], out[1] = True, False
    return out


@pytest.mark.parametrize("components, d", [(1, 1), (1, 4), (3, 1), (4, 5), (2, gaussian.WIDE + 1)])
def test_sweeping_splits_every_mask_as_inverses_do(components, d):
    _, covariance = spheres(components, d)
    known = masks(d, np.random.default_rng(1))
    swept = gaussian.sweep(torch.as_tensor(covariance), torch.as_tensor(known))
    for p, mask in enumerate(known):
        o, m = np.flatnonzero(mask), np.flatnonzero(~mask)
        for k, s in enumerate(covariance):
            inverse = np.linalg.inv(s[np.ix_(o, o)])
            precision, coefficient, rest = (
                f()[p, k].numpy() for f in (swept.precision, swept.coefficient, swept.conditional)
            )
            expected = np.zeros((3, d, d))
            expected[0][np.ix_(o, o)] = inverse
            expected[1][np.ix_(m, o)] = s[np.ix_(m, o)] @ inverse
            expected[2][np.ix_(m, m)] = s[np.ix_(m, m)] - s[np.ix_(m, o)] @ inverse @ s[np.ix_(o, m)]
            np.testing.assert_allclose([precision, coefficient, rest], expected, atol=1e-10)
            assert swept.logdet[p, k].item() == pytest.approx(np.linalg.slogdet(s[np.ix_(o, o)])[1], abs=1e-10)


@pytest.mark.parametrize("components, d, patterns", [(1, 3, 1), (3, 1, 1), (2, 3, 1), (1, 3, 4)])
def test_sweeping_leaves_the_covariances_alone(components, d, patterns):
    covariance = torch.as_tensor(spheres(components, d)[1])
    before = covariance.clone()
    gaussian.sweep(covariance, torch.ones(patterns, d, dtype=torch.bool))
    assert torch.equal(covariance, before)


@pytest.mark.parametrize("d", [1, 3, 40])
@pytest.mark.parametrize("function", [gaussian.log_density, gaussian.log_density_autograd])
def test_densities_of_known_cells_are_scipys(d, function):
    mean, covariance = spheres(3, d)
    rng = np.random.default_rng(2)
    known = masks(d, rng)[rng.integers(0, 9, 60)]
    y = np.where(known, rng.normal(size=(60, d)), 0.0)
    patterns = group(torch.as_tensor(known))
    got = function(torch.as_tensor(y), patterns, torch.as_tensor(mean), torch.as_tensor(covariance)).numpy()
    for i in range(60):
        o = np.flatnonzero(known[i])
        for k in range(3):
            law = stats.multivariate_normal(mean[k][o], covariance[k][np.ix_(o, o)]) if len(o) else None
            assert got[i, k] == pytest.approx(law.logpdf(y[i, o]) if law else 0.0, abs=1e-8)


def test_no_columns_have_density_one():
    empty = torch.zeros(4, 0, dtype=torch.float64)
    patterns = group(torch.zeros(4, 0, dtype=torch.bool))
    out = gaussian.log_density(empty, patterns, torch.zeros(2, 0).double(), torch.zeros(2, 0, 0).double())
    assert torch.equal(out, torch.zeros(4, 2, dtype=torch.float64))


@pytest.mark.parametrize("columns", [1, 5, 70])
def test_groups_hold_the_rows_of_their_mask(columns):
    rng = np.random.default_rng(3)
    known = torch.as_tensor(rng.random((4, columns)) < 0.5)[torch.as_tensor(rng.integers(0, 4, 50))]
    patterns = group(known)
    assert len(patterns) == len(np.unique(known.numpy(), axis=0)) and patterns.starts[-1] == 50
    assert sorted(patterns.order.tolist()) == list(range(50))
    for p in range(len(patterns)):
        rows = patterns.order[patterns.starts[p] : patterns.starts[p + 1]]
        assert (known[rows] == patterns.masks[p]).all() and (patterns.of_row[rows] == p).all()
