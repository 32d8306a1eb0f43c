"""Integrals of known densities, told by independent draws and by chains that have seen half."""

import math

import numpy as np
import torch

from genprob.query.bridged import bridged

LOGS = torch.tensor([0.0, 3.0, -40.0], dtype=torch.float64)


def normal(points):
    """A normal in three dimensions, times e^0, e^3 and e^-40."""
    half = 0.5 * math.log(2 * math.pi)
    off = (points - 5.0) / torch.tensor([1.0, 0.01, 30.0])
    return -0.5 * off.square().sum(-1) - 3 * half - math.log(0.3) + LOGS[:, None]


def drawn(seed, steps=60, chains=4):
    torch.manual_seed(seed)
    return 5.0 + torch.randn(steps, 3, chains, 3, dtype=torch.float64) * torch.tensor([1.0, 0.01, 30.0])


def test_a_normal_integrates_to_its_constant():
    value, error = bridged(normal, drawn(0))
    assert np.abs(value - LOGS.numpy()).max() < 0.1 and (np.abs(value - LOGS.numpy()) < 4 * error + 0.02).all()


def skewed(points):
    """Exponential in one dimension, normal in the other, cut at 0: half of the normal's draws miss it."""
    x, y = points.unbind(-1)
    value = -x - 0.5 * y.square()
    return torch.where(x > 0, value, -torch.inf)


def test_what_is_no_normal_is_integrated_with_the_error_that_is_told():
    off = []
    for seed in range(40):
        torch.manual_seed(seed)
        shape = (50, 1, 4)
        seen = torch.stack([torch.empty(shape, dtype=torch.float64).exponential_(), torch.randn(shape).double()], -1)
        value, error = bridged(skewed, seen)
        off.append(float((value[0] - 0.5 * math.log(2 * math.pi)) / error[0]))
    assert abs(np.mean(off)) < 0.6 and 0.5 < np.std(off) < 1.6


def test_chains_that_have_stayed_in_modes_of_unequal_weight_widen_the_error():
    """A ninth as much to the right as to the left, and as many chains in either: they cannot know, but disagree."""

    def two(points):
        x = points[..., 0]
        return torch.logaddexp(-0.5 * (x + 4).square(), -0.5 * (x - 4).square() - math.log(9.0))

    torch.manual_seed(0)
    seen = torch.randn(100, 1, 8, 1, dtype=torch.float64)
    seen[:, :, ::2] -= 4.0
    seen[:, :, 1::2] += 4.0
    value, error = bridged(two, seen)
    truth = 0.5 * math.log(2 * math.pi) + math.log(10 / 9)
    assert error[0] > 0.5 and abs(value[0] - truth) < 2 * error[0]


def test_chains_out_of_the_support_tell_nothing():
    seen = torch.stack([-torch.rand(10, 1, 2), torch.randn(10, 1, 2)], -1).double()
    value, error = bridged(skewed, seen)
    assert np.isnan(value).all() and np.isnan(error).all()
