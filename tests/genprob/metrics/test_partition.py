"""Partition functions of normal laws, known in closed form: unbiased weights, errors that are true, doubts."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from genprob.metrics.partition import Partition, anneal, bridge, estimate, melt, shares_of


@dataclass
class Shifted:
    """From N(0, 1) to exp(bonus) N(shift, 1) along the geometric path N(share shift, 1)."""

    chains: int
    shift: float = 3.0
    bonus: float = 1.5
    stuck: bool = False

    def start(self):
        return torch.randn(self.chains, 1, dtype=torch.float64)

    def log_density(self, points, share):
        x = points[:, 0]
        first, last = -0.5 * x.square(), -0.5 * (x - self.shift).square() + self.bonus
        return (1 - share) * first + share * last - 0.5 * math.log(2 * math.pi)

    def step(self, points, share):
        if self.stuck:
            return points
        half = 0.5 * (points - share * self.shift)
        return share * self.shift + half + math.sqrt(0.75) * torch.randn_like(points)


def log_mean(weight):
    return float(torch.logsumexp(weight, 0)) - math.log(len(weight))


def error_of(weight):
    relative = (weight - weight.max()).exp()
    return float(relative.std() / relative.mean()) / math.sqrt(len(weight))


@pytest.mark.parametrize("count", [6, 10])
def test_few_temperatures_are_unbiased_in_both_directions(count):
    """Few, so that a weight taken at the wrong end of a step is off by much more than its error."""
    torch.manual_seed(0)
    path, shares = Shifted(40_000), np.linspace(0, 1, count + 1).tolist()
    forward, _ = anneal(path, shares)
    assert abs(log_mean(forward) - 1.5) < 4 * error_of(forward) < 0.15
    backward = melt(path, 3.0 + torch.randn(40_000, 1, dtype=torch.float64), shares)
    assert abs(log_mean(backward) + 1.5) < 4 * error_of(backward) < 0.15


def test_the_bridge_has_the_error_that_it_claims():
    z = []
    for seed in range(40):
        torch.manual_seed(seed)
        path = Shifted(300)
        exact = 3.0 + torch.randn(200, 1, dtype=torch.float64)
        found, _ = estimate(path, 0.0, np.linspace(0, 1, 6).tolist(), exact=exact)
        assert found.interval
        z.append((found.value - 1.5) / found.error)
    assert abs(np.mean(z)) < 4 / math.sqrt(40) and 0.7 < np.std(z) < 1.4


def test_both_ends_lie_on_their_sides():
    low, high = [], []
    for seed in range(60):
        torch.manual_seed(seed)
        exact = 3.0 + torch.randn(20, 1, dtype=torch.float64)
        found, _ = estimate(Shifted(20), 0.0, [0.0, 0.5, 1.0], exact=exact)
        low.append(found.optimistic)
        high.append(found.conservative)
    assert np.mean(low) < 1.5 < np.mean(high)


def test_unequal_numbers_are_bridged():
    rng = np.random.default_rng(1)
    forward, backward = 2 + rng.normal(size=6000) - 0.5, -(2 + rng.normal(1, 1, size=600) - 0.5)
    found, error = bridge(forward, backward)
    assert abs(found - 2) < 4 * error < 0.3


def test_chains_that_do_not_move_are_doubted():
    torch.manual_seed(0)
    found, _ = estimate(Shifted(100, shift=12.0, stuck=True), 0.0, np.linspace(0, 1, 20).tolist())
    assert not found.reliable and ("differ by" in found.reason or "worth" in found.reason)
    assert "unreliable" in str(found)


def test_shares_are_dense_where_the_law_changes_fast():
    torch.manual_seed(0)
    shares = shares_of(Shifted(500), 40)
    assert shares[0] == 0 and shares[-1] == 1 and (np.diff(shares) > 0).all() and len(shares) == 41
    assert np.diff(shares).max() < 3 * np.diff(shares).min()  # this path changes evenly


def test_what_is_printed():
    assert str(Partition.exact(2.0)) == "log Z = 2.000, exact"
    text = str(Partition(2.0, 0.1, 1.9, 2.1))
    assert "optimistic / bridge / conservative = 1.900 / 2.000 / 2.100" in text and "no interval" in text
