"""The truncated normal against arbitrary precision and Kolmogorov-Smirnov."""

import mpmath
import numpy as np
import pytest
import torch
from scipy import stats

from genprob_mixture import truncated

INF = np.inf
INTERVALS = [
    (-1.0, 1.0), (-INF, 0.3), (0.3, INF), (0.0, 1e-6), (2.0, 2.0001), (-0.5, 12.0),
    (5.0, 6.0), (-6.0, -5.0), (8.0, INF), (-INF, -8.0), (20.0, 20.5), (-20.01, -20.0),
    (29.9, 30.2), (-30.2, -29.9), (37.0, INF), (-INF, -37.0), (40.0, 40.01), (-45.0, -44.0), (200.0, INF),
    (-1000.5, -1000.0),
]  # fmt: skip


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


def exact_log_mass(a, b):
    with mpmath.workdps(60):
        low, high = (mpmath.mpf(str(x)) if np.isinf(x) else mpmath.mpf(x) for x in (a, b))
        if low > 0:
            low, high = -high, -low
        return float(mpmath.log(mpmath.ncdf(high) - mpmath.ncdf(low)))


@pytest.mark.parametrize("a, b", INTERVALS)
def test_log_mass_to_eight_digits_anywhere(a, b):
    got = truncated.log_mass(tensor(a), tensor(b)).item()
    near = min(abs(a), abs(b))
    if near < 100:
        expected = exact_log_mass(a, b)
    else:  # so far out the mass is the density at the nearer end over the hazard there
        expected = -0.5 * near**2 - 0.5 * np.log(2 * np.pi) - np.log(near) - 1 / near**2
    assert got == pytest.approx(expected, rel=1e-8, abs=1e-8)


def test_an_empty_interval_has_no_mass_nor_has_one_beyond_all_numbers():
    lower, upper = tensor(1.0, INF, 0.5, 1e170, -INF), tensor(-1.0, -INF, 0.5, INF, -1e200)
    assert truncated.log_mass(lower, upper).tolist() == [-INF] * 5


def test_masses_of_a_partition_add_up_to_one():
    edges = torch.cat([tensor(-INF), torch.linspace(-39, 39, 157, dtype=torch.float64), tensor(INF)])
    assert torch.logsumexp(truncated.log_mass(edges[:-1], edges[1:]), 0).item() == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("a, b", INTERVALS)
def test_draws_stay_inside_and_follow_the_law(a, b):
    n = 4000
    u = torch.rand(n, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    lower, upper = torch.full_like(u, a), torch.full_like(u, b)
    z = truncated.draw(lower, upper, u)
    assert ((z >= lower) & (z <= upper)).all()
    # P(Z <= z | interval) of the draws is uniform
    below = truncated.log_mass(lower, z) - truncated.log_mass(lower, upper)
    assert stats.kstest(below.exp().numpy(), "uniform").pvalue > 1e-3


@pytest.mark.parametrize("a, b", INTERVALS)
def test_draws_are_quantiles(a, b):
    u = torch.linspace(0.02, 0.98, 25, dtype=torch.float64)
    lower, upper = torch.full_like(u, a), torch.full_like(u, b)
    z = truncated.draw(lower, upper, u)
    assert (z.diff() >= 0).all()
    share = (truncated.log_mass(lower, z) - truncated.log_mass(lower, upper)).exp()
    np.testing.assert_allclose(share, u, atol=1e-5)


def test_extreme_uniforms_give_finite_draws():
    u = tensor(0.0, 1.0 - 2**-53, 1e-320)
    for a, b in INTERVALS:
        z = truncated.draw(torch.full_like(u, a), torch.full_like(u, b), u)
        assert torch.isfinite(z).all(), (a, b)
