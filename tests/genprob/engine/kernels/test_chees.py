"""ChEES: the length of a trajectory is learned, for each query by itself, and is then frozen."""

from itertools import pairwise

import pytest
import torch

from genprob.engine.kernels import ChEES, sample


def normal(x):
    return -0.5 * x.square().sum(-1)


@pytest.mark.parametrize("mass", ["unit", "diagonal", "dense"])
@pytest.mark.parametrize("first", [0.2, 3.0])
def test_the_length_for_a_unit_normal_is_that_of_theory(mass, first):
    """The mean over u in (0, 1) of sin^2(u T), 1/2 - sin(2 T) / (4 T), has its first maximum at T = 2.25."""
    kernel = ChEES(normal, trajectory=first, mass=mass)
    _, stats = sample(kernel, torch.randn(128, 20).double(), warmup=200, draws=5)
    # Whole leapfrogs make it half a step longer on average.
    assert 1.6 < float(stats["trajectory"][-1] + 0.5 * stats["step_size"][-1]) < 2.5
    assert bool((stats["trajectory"] == stats["trajectory"][0]).all()), "frozen"


def test_queries_learn_lengths_of_their_own_and_wait_for_the_longest():
    """One target is round, the other has one direction ten times as wide: without a mass it needs ten times as long."""
    scale = torch.ones(2, 1, 4).double()
    scale[1, 0, 0] = 10.0
    kernel = ChEES(lambda x: -0.5 * (x / scale).square().sum(-1), mass="unit")
    _, stats = sample(kernel, scale * torch.randn(2, 64, 4).double(), warmup=250, draws=8)
    length = stats["trajectory"][-1]
    assert float(length[1] / length[0]) > 2.5
    assert stats["leapfrogs"].shape == (8, 2) and bool((stats["leapfrogs"][:, 1] >= stats["leapfrogs"][:, 0]).all())


def test_a_query_whose_trajectory_is_over_stands_still():
    seen = []

    def log_density(x):
        seen.append(x[:, 0].detach().clone())
        return normal(x)

    kernel = ChEES(log_density, mass="unit")
    at = torch.randn(2, 3, 4).double()
    memory = kernel.init(at) | {"size": torch.tensor([0.1, 0.1]).double(), "drawn": 2}
    memory |= {"trajectory": torch.tensor([0.4, 2.0]).double()}
    seen.clear()
    _, _, metrics = kernel.step(at, memory)
    walked = [1 + sum(not torch.equal(a[q], b[q]) for a, b in pairwise(seen)) for q in (0, 1)]
    assert metrics["leapfrogs"].tolist() == [3, 15] and walked == [4, 16]
