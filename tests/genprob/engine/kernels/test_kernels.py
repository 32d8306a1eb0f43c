"""Kernels: each leaves its law as it is, and what is frozen stays."""

from itertools import product

import pytest
import torch

from genprob.engine.kernels.gibbs import BinaryGibbs
from genprob.engine.kernels.hmc import HMC
from genprob.engine.kernels.random_walk import RandomWalk

CHAINS = 4000
RATE = 1.5


def exponential(x):
    """The log of an exponential variable with a rate: skewed, so that an error of either sign shows."""
    return x[:, 0] - RATE * x[:, 0].exp()


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize(
    "kernel, size", [(HMC(exponential, 4), 0.7), (HMC(exponential, 1), 1.2), (RandomWalk(exponential), 1.0)]
)
def test_exact_draws_stay_exact_and_forgetful(kernel, size):
    """Chains begun in the law stay in it at any step size: mean and variance of x, with z-scores."""
    start = (torch.distributions.Exponential(RATE).sample((CHAINS, 1)).double() + 1e-300).log()
    at, memory = start, kernel.init(start) | {"size": torch.tensor(size, dtype=torch.float64)}
    for _ in range(25):
        at, memory, metrics = kernel.step(at, memory)
    assert 0.2 < float(metrics["acceptance"].mean()) < 0.99
    x = at[:, 0].exp() * RATE
    log = x.log()
    for found, wanted, sd in ((x, 1, 1), (x.square(), 2, 20**0.5), (log, -0.5772, 1.2825)):
        assert abs(float((found - wanted).mean())) * CHAINS**0.5 / sd < 4
    assert abs(float(torch.corrcoef(torch.stack([start[:, 0], at[:, 0]]))[0, 1])) < 0.2, "the chains moved"


def test_a_trajectory_into_nowhere_is_refused():
    kernel = HMC(lambda x: torch.where(x[:, 0] > 0, torch.nan, -x[:, 0].square()), 4)
    start = torch.full((50, 1), -1e-3)
    memory = kernel.init(start) | {"size": torch.tensor(1.0)}
    at, _, metrics = kernel.step(start, memory)
    assert bool((at <= 0).all()) and 0 <= float(metrics["acceptance"].mean()) < 1


@pytest.mark.parametrize("kind, options, tolerance", [(HMC, {"leapfrogs": 3}, 0.16), (RandomWalk, {}, 0.1)])
def test_adaptation_reaches_its_target_and_ends(kind, options, tolerance):
    kernel = kind(lambda x: -0.5 * (x / 20).square().sum(1), warmup=240, **options)
    at = torch.randn(64, 2, dtype=torch.float64)
    memory, sizes, rates = kernel.init(at), [], []
    for _ in range(280):
        at, memory, metrics = kernel.step(at, memory)
        memory = kernel.adapt(at, memory, metrics)
        sizes.append(float(memory["size"]))
        rates.append(float(metrics["acceptance"].mean()))
    assert len(set(sizes[239:])) == 1 and len(set(sizes[:239])) > 200
    assert sum(rates[240:]) / 40 == pytest.approx(kernel.target, abs=tolerance)


def test_gibbs_sampling_keeps_the_law_of_two_binary_layers():
    weight = torch.tensor([[2.0, -1.0], [-1.5, 1.0], [0.5, 0.5]], dtype=torch.float64)
    a, b = torch.tensor([0.2, -0.4, 0.1], dtype=torch.float64), torch.tensor([-0.3, 0.6], dtype=torch.float64)
    states = torch.tensor(list(product([0.0, 1.0], repeat=3)), dtype=torch.float64)
    law = torch.softmax(states @ a + torch.nn.functional.softplus(states @ weight + b).sum(1), 0)
    kernel = BinaryGibbs(lambda v: v @ weight + b, lambda h: h @ weight.T + a)
    at, memory = torch.zeros(20_000, 3, dtype=torch.float64), {}
    for _ in range(30):
        at, memory, metrics = kernel.step(at, memory)
    found = torch.bincount((at @ torch.tensor([4.0, 2.0, 1.0]).double()).long(), minlength=8) / len(at)
    assert float(((found - law) / (law * (1 - law) / len(at)).sqrt()).abs().max()) < 4
    assert 0 < float(metrics["moved"].mean()) < 1
