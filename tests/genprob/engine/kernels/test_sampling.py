"""Sampling without a model: shapes, repeatability, and starts that cannot be."""

import pytest
import torch

from genprob.engine.kernels import HMC, NUTS, BlockGibbs, Langevin, RandomWalk, Slice, sample
from genprob.engine.kernels.gibbs import bernoulli
from genprob.errors import Diverged, UsageError


def normal(x):
    return -0.5 * x.square().sum(-1)


def test_the_same_seed_gives_the_same_draws_and_thinning_takes_every_other():
    found = []
    for draws, thin in ((12, 1), (12, 1), (6, 2)):
        torch.manual_seed(4)
        found.append(sample(HMC(normal, 3), torch.zeros(5, 2), warmup=10, draws=draws, thin=thin))
    assert torch.equal(found[0][0], found[1][0]) and torch.equal(found[0][0][1::2], found[2][0])
    assert torch.equal(found[0][1]["energy"][1::2], found[2][1]["energy"])


def test_a_kernel_without_a_density_and_one_of_scalars():
    draws, stats = sample(BlockGibbs((lambda v: bernoulli(v - 0.5),)), torch.zeros(4, 3), draws=7)
    assert draws.shape == (7, 4, 3) and stats["moved"].shape == (7, 4)
    draws, stats = sample(RandomWalk(lambda x: -0.5 * x.square()), torch.zeros(6), warmup=5, draws=9)
    assert draws.shape == (9, 6) and stats["acceptance"].shape == (9, 6)


def test_the_warmup_is_the_kernels_own_unless_one_is_given():
    _, own = sample(NUTS(normal, warmup=30), torch.randn(8, 2), draws=3)
    _, none = sample(NUTS(normal, size=0.05), torch.randn(8, 2), draws=3)
    assert float(own["step_size"][0]) != pytest.approx(0.05) and float(none["step_size"][-1]) == pytest.approx(0.05)


def test_starts_outside_the_support_are_named():
    with pytest.raises(UsageError, match="chain 2 starts"):
        sample(Slice(lambda x: x[:, 0].log()), torch.tensor([[1.0], [2.0], [-1.0]]), draws=2)
    with pytest.raises(UsageError, match="chain 1 of query 0"):
        sample(Slice(lambda x: x[..., 0].log()), torch.tensor([[[1.0], [-2.0]]]), draws=2)


def test_numbers_that_cannot_be_are_refused():
    for options in ({"draws": 0}, {"draws": 1, "thin": 0}, {"draws": 1, "warmup": -1}):
        with pytest.raises(UsageError, match="at least"):
            sample(HMC(normal), torch.zeros(2, 1), **options)


def test_chains_that_leave_the_numbers_are_named():
    with pytest.raises(Diverged, match="smaller steps"):
        sample(Langevin(lambda x: -x.pow(4).sum(-1), size=2.0), torch.full((2, 1), 3.0), draws=30)
