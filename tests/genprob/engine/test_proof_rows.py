"""A chain for each row: only the batch's rows move, each to its own posterior, while weights are learned."""

import pytest
import torch
from torch import nn

from genprob.data.batch import Minibatches
from genprob.engine.blocks import Blocks
from genprob.engine.descend import Descend, adam, warmup_cosine
from genprob.engine.fit import fit
from genprob.engine.kernels.hmc import HMC
from genprob.engine.kernels.random_walk import RandomWalk
from genprob.engine.phase import Phase
from genprob.engine.transition import Transition
from genprob.errors import PluginError

NOISE = 0.5


class Factor(nn.Module):
    """x = offset + weight z + noise, z standard normal."""

    def __init__(self, weight=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight, dtype=torch.float64))
        self.offset = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def log_joint(self, z, x):
        return -0.5 * z.square() - 0.5 * ((x - self.offset - self.weight * z) / NOISE).square()


def chains(kernel, **options):
    def of(blocks, batch):
        return kernel(lambda z: blocks.modules["factor"].log_joint(z[:, 0], batch.values[:, 0]))

    def start(blocks, batch):
        return torch.zeros(batch.total, 1, dtype=torch.float64)

    return Transition("z", "z", of, data="same", start=start, per_row=True, **options)


def hmc(log_density):
    return HMC(log_density, 4, warmup=100)


def walk(log_density):
    return RandomWalk(log_density, warmup=100)


@pytest.fixture
def rows(batch_of):
    return batch_of(2.0 + 1.5 * torch.randn(600, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64))


def test_only_the_rows_of_the_batch_move(rows, state_of):
    blocks, batches = Blocks({"factor": Factor()}), Minibatches(rows, 50, 0)
    before, moved = torch.zeros(600, 1, dtype=torch.float64), set()
    state = state_of(blocks)
    for _ in fit([Phase((chains(hmc),), 5)], state, batches):
        now = blocks["z"].clone()
        changed = (now != before).any(1).nonzero()[:, 0].tolist()
        index = set(batches(state.step - 1).index.tolist())
        assert changed and set(changed) <= index
        before, moved = now, moved | set(changed)
    assert 100 < len(moved) <= 250


@pytest.mark.parametrize("kernel", [hmc, walk])
def test_each_chain_takes_the_posterior_of_its_own_row(kernel, rows, state_of):
    blocks, state = Blocks({"factor": Factor()}), None
    state = state_of(blocks)
    moves, kept = (chains(kernel, adapt=True, repeat=2),), []
    for _ in fit([Phase(moves, 450)], state, Minibatches(rows, 200, 0)):
        if state.step > 150 and state.step % 15 == 0:
            kept.append(blocks["z"][:, 0].clone())
    draws, x = torch.stack(kept), rows.values[:, 0]
    variance = 1 / (1 + 1 / NOISE**2)
    z = (draws - variance * x / NOISE**2) / variance**0.5
    assert abs(float(z.mean())) < 0.05 and float(z.square().mean()) == pytest.approx(1, abs=0.1)
    assert float(z.mean(0).abs().max()) < 1.6, "every row has its own mean"


def learning(steps):
    def loss(blocks, batch):
        return -blocks.modules["factor"].log_joint(blocks["z"][batch.index, 0], batch.values[:, 0]).mean()

    learn = Descend("learn", frozenset({"factor.*"}), loss, adam(0.1), warmup_cosine(), horizon=steps, data="same")
    return [Phase((chains(hmc, adapt=True), learn), steps)], Blocks({"factor": Factor(0.5)})


def test_weights_learned_through_the_chains_reach_maximum_likelihood(rows, state_of):
    """x is normal with variance weight^2 + noise^2: moments give the maximum in closed form."""
    phases, blocks = learning(350)
    list(fit(phases, state_of(blocks), Minibatches(rows, 300, 0)))
    mean, variance = float(rows.values.mean()), float(rows.values.var(unbiased=False))
    assert float(blocks["factor.offset"].detach()) == pytest.approx(mean, abs=0.1)
    assert abs(float(blocks["factor.weight"].detach())) == pytest.approx((variance - NOISE**2) ** 0.5, abs=0.1)


def test_resumed_is_unbroken(rows, unbroken):
    unbroken(lambda: learning(9), Minibatches(rows, 200, 0))


def test_chains_per_row_without_rows_are_refused(run, blocks_of):
    move = Transition("z", "z", lambda b, _: walk(lambda z: -z.square().sum(1)), per_row=True)
    with pytest.raises(PluginError, match="'z' has a chain per row"):
        run([move], blocks_of(z=torch.zeros(3, 1)), 1)
