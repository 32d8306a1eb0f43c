"""Replica exchange: modes that one temperature cannot cross, and a ladder that evens its rates."""

import torch

from genprob.engine.diagnostics import mcse_mean
from genprob.engine.kernels import HMC, RandomWalk, ReplicaExchange, sample


def modes(x):
    """Two normals 16 apart, one with three quarters of the weight."""
    a, b = -0.5 * (x[..., 0] + 8).square(), -0.5 * (x[..., 0] - 8).square()
    return torch.logaddexp(a + torch.tensor(3.0).log(), b)


def test_modes_get_their_weights_from_chains_that_began_in_the_wrong_one():
    start = 8 + torch.randn(48, 1).double()
    alone, _ = sample(HMC(modes, 6), start, warmup=60, draws=60)
    assert float((alone > 0).double().mean()) > 0.9, "one temperature stays"
    heats = (1.0, 0.45, 0.2, 0.09, 0.04, 0.015)
    draws, stats = sample(ReplicaExchange(modes, lambda f: HMC(f, 6), heats), start, warmup=150, draws=300)
    right = (draws > 0).double()
    assert abs(float((right.mean() - 0.25) / mcse_mean(right))) < 4.5 and float(mcse_mean(right)) < 0.05
    assert float(stats["swapped"].mean()) > 0.2


def test_the_ladder_evens_its_rates_and_is_then_frozen():
    """Normals in many dimensions, on a ladder whose first gap is too wide."""
    kernel = ReplicaExchange(
        lambda x: -0.5 * x.square().sum(-1), lambda f: RandomWalk(f), (1.0, 0.3, 0.27, 0.2), warmup=150
    )
    at = torch.randn(64, 8).double()
    memory = kernel.init(at)
    ladders = []
    for _ in range(170):
        at, memory, metrics = kernel.step(at, memory)
        memory = kernel.adapt(at, memory, metrics)
        ladders.append(memory["ladder"])
    assert not torch.equal(ladders[0], ladders[148]) and torch.equal(ladders[149], ladders[-1])
    first, last = ladders[-1][0], ladders[-1][-1]
    assert float(first) == 1 and abs(float(last) - 0.2) < 1e-6 and bool((ladders[-1].diff() < 0).all())
    assert float(memory["rates"].max() - memory["rates"].min()) < 0.25


def test_a_base_is_what_the_hottest_chain_samples():
    prior = torch.distributions.Normal(2.0, 3.0)
    kernel = ReplicaExchange(
        lambda x: prior.log_prob(x).sum(-1) - 8 * (x[..., 0] - 4).square(),
        lambda f: HMC(f, 5),
        (1.0, 0.1, 0.0),
        base=lambda x: prior.log_prob(x).sum(-1),
        warmup=60,
    )
    at = torch.randn(256, 1).double()
    memory, hot = kernel.init(at), []
    for step in range(120):
        at, memory, metrics = kernel.step(at, memory)
        memory = kernel.adapt(at, memory, metrics)
        if step >= 60:
            hot.append(memory["hotter"][-1])
    hot = torch.stack(hot)
    assert abs(float((hot.mean() - 2) / mcse_mean(hot))) < 4.5 and abs(float(hot.std()) - 3) < 0.2
