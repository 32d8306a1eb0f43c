"""Intervals of the normal law against scipy, in the tails and where they are narrow."""

import numpy as np
import pytest
import torch
from scipy import stats

from genprob.nets.normal import draw_between, log_between


def exact(lo, hi):
    if lo > 0:
        lo, hi = -hi, -lo
    top, bottom = stats.norm.logcdf(hi), stats.norm.logcdf(lo)
    return top + np.log(-np.expm1(bottom - top))


@pytest.mark.parametrize(
    ("lo", "hi"),
    [(-1, 1), (0.3, 0.31), (5, 6), (-38, -37), (50, 50.5), (-np.inf, -3), (2, np.inf), (-np.inf, np.inf), (-4, 30)],
)
def test_probabilities_of_intervals(lo, hi):
    found = log_between(*torch.tensor([lo, hi], dtype=torch.float64))
    assert float(found) == pytest.approx(exact(lo, hi), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("middle", [0.0, 1.5, -6.0, 300.0])
@pytest.mark.parametrize("width", [1e-12, 1e-7, 9.9e-6, 1.01e-5])
def test_narrow_intervals_have_the_density_of_their_middle(middle, width):
    middle = torch.tensor(middle).double()
    found = float(log_between(middle - width / 2, middle + width / 2) - np.log(width))
    assert found == pytest.approx(float(stats.norm.logpdf(middle)), abs=2e-3 * (1 + float(middle.abs())))


def test_nothing_lies_in_an_empty_interval():
    assert float(log_between(torch.tensor(1.0).double(), torch.tensor(1.0).double())) == -np.inf


@pytest.mark.parametrize(("lo", "hi"), [(-1e9, -5.0), (-np.inf, 4.0), (3.0, np.inf), (60.0, 61.0), (0.1, 0.1 + 1e-7)])
def test_gradients_are_finite(lo, hi):
    at = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
    ends = torch.tensor([lo, hi]).double().clamp(-1e8, 1e8)
    log_between(ends[0] - at, ends[1] - at).backward()
    assert at.grad is not None and torch.isfinite(at.grad)


@pytest.mark.parametrize(("lo", "hi"), [(-1.0, 2.0), (4.0, np.inf), (-41.0, -40.0), (2.0, 2.001), (-np.inf, 0.5)])
def test_draws_are_truncated_normals(lo, hi):
    torch.manual_seed(0)
    u = draw_between(torch.full((4000,), lo).double(), torch.full((4000,), hi).double()).numpy()
    assert (u >= lo).all() and (u <= hi).all()
    law = stats.truncnorm(max(lo, -45), min(hi, 45))
    assert stats.kstest(u, law.cdf).pvalue > 1e-3
