"""NUTS: which parts of a tree are looked at for a turn, how deep trees grow, and what is told of them."""

import pytest
import torch

from genprob.engine.kernels import NUTS
from genprob.engine.kernels.nuts import _Half


def turned_by_recursion(momenta):
    """Whether a balanced part of `[leaves, d]` momenta comes back: its sum, less half its ends, against either end."""
    count = len(momenta)
    if count == 1:
        return False
    half = count // 2
    if turned_by_recursion(momenta[:half]) or turned_by_recursion(momenta[half:]):
        return True
    inner = momenta.sum(0) - 0.5 * (momenta[0] + momenta[-1])
    return bool(momenta[0] @ inner <= 0) or bool(momenta[-1] @ inner <= 0)


@pytest.mark.parametrize("leaves, size", [(4, 4), (8, 8), (16, 8), (32, 8), (16, 2), (16, 1), (64, 8)])
def test_a_turn_of_any_balanced_part_is_seen_and_no_other(leaves, size):
    chains = 400
    drift = torch.linspace(0.2, 2.5, chains).double()[:, None] * torch.ones(3)
    momenta = drift + 2 * torch.randn(leaves, chains, 3).double().cumsum(0) / leaves**0.5
    start = torch.zeros(chains).double()
    half = _Half((torch.zeros(chains, 3).double(),) * 3, start, start == 0)
    for part in range(leaves // size):
        half._turn(momenta[part * size : (part + 1) * size], part)
    wanted = torch.tensor([turned_by_recursion(momenta[:, chain]) for chain in range(chains)])
    assert 0.02 < float(wanted.double().mean()) < 0.95
    assert torch.equal(half.going, ~wanted)
    torch.testing.assert_close(half.total, momenta.sum(0))


def test_trajectories_of_a_normal_end_near_half_a_period():
    """With steps of .1 a unit normal comes back after pi: trees of 31 leapfrogs or so, not of 7 and not of 127."""
    kernel = NUTS(lambda x: -0.5 * x.square().sum(-1), size=0.1, mass="unit")
    at = torch.randn(500, 20).double()
    _, _, metrics = kernel.step(at, kernel.init(at))
    assert float((metrics["depth"] == 5).double().mean()) > 0.9 and float(metrics["acceptance"].min()) > 0.95
    assert bool((metrics["leapfrogs"] <= 2 ** metrics["depth"] - 1).all())


def test_the_depth_is_a_limit():
    kernel = NUTS(lambda x: -0.5 * (x / 100).square().sum(-1), size=0.01, depth=3)
    at = torch.randn(20, 2).double()
    _, _, metrics = kernel.step(at, kernel.init(at))
    assert bool((metrics["depth"] == 3).all()) and bool((metrics["leapfrogs"] == 7).all())


def test_divergent_trajectories_end_and_are_told():
    kernel = NUTS(lambda x: -x.pow(4).sum(-1), size=5.0)
    at = 2 + torch.randn(50, 1).double()
    new, _, metrics = kernel.step(at, kernel.init(at))
    assert bool(metrics["diverging"].any()) and bool(torch.isfinite(new).all())
    assert bool((new == at)[metrics["diverging"] & (metrics["leapfrogs"] == 1)].all())


def test_chains_that_still_grow_are_asked_alone():
    """Half the chains are wide of the others: the density is asked for fewer and fewer, and the laws agree."""
    scale = torch.tensor([1.0, 30.0]).double()
    asked = []

    def log_density(x):
        asked.append(len(x))
        return -0.5 * (x / scale).square().sum(-1)

    at = scale * torch.randn(300, 2).double()
    found = {}
    for compact in (False, True):
        kernel = NUTS(log_density, size=0.5, mass="unit", compact=compact)
        asked.clear()
        new, _, metrics = kernel.step(at, kernel.init(at))
        found[compact] = float(metrics["leapfrogs"].mean()), sum(asked), float((new / scale).square().mean())
    assert found[True][1] < 0.8 * found[False][1]
    assert found[True][0] == pytest.approx(found[False][0], rel=0.15)
    assert found[True][2] == pytest.approx(1, abs=0.25)
