"""Energies: a restricted Boltzmann machine by enumeration, a Gaussian by its precision."""

from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import nn

from genprob.data.batch import Minibatches
from genprob.engine.fit import fit
from genprob.engine.inferences.cd import cd
from genprob.engine.inferences.pcd import pcd
from genprob.engine.kernels.gibbs import BinaryGibbs
from genprob.model import Model

VISIBLE, HIDDEN = 4, 3
STATES = torch.tensor(list(product([0.0, 1.0], repeat=VISIBLE)), dtype=torch.float64)


class RBM(Model):
    precision = torch.float64

    def __init__(self, schema, spread=0.1):
        super().__init__(schema)
        generator = torch.Generator().manual_seed(0)
        weight = spread * torch.randn(VISIBLE, HIDDEN, generator=generator, dtype=torch.float64)
        self.weight = nn.Parameter(weight)
        self.visible = nn.Parameter(torch.zeros(VISIBLE, dtype=torch.float64))
        self.hidden = nn.Parameter(torch.zeros(HIDDEN, dtype=torch.float64))

    def points(self, batch):
        return batch.values

    def energy(self, points):
        return -points @ self.visible - nn.functional.softplus(points @ self.weight + self.hidden).sum(-1)

    def markov_kernel(self):
        return BinaryGibbs(lambda v: v @ self.weight + self.hidden, lambda h: h @ self.weight.T + self.visible)


class Gaussian(Model):
    """A precision matrix, without a kernel of its own."""

    precision = torch.float64

    def __init__(self, schema):
        super().__init__(schema)
        self.root = nn.Parameter(torch.eye(2, dtype=torch.float64))
        self.mean = nn.Parameter(torch.zeros(2, dtype=torch.float64))

    def points(self, batch):
        return batch.values

    def energy(self, points):
        return 0.5 * ((points - self.mean) @ self.root).square().sum(-1)


@pytest.fixture
def rows(batch_of):
    """2000 rows of four binary units, of which the first two agree and the last two differ more often than not."""
    generator = torch.Generator().manual_seed(1)
    weight = torch.tensor([6, 1, 1, 1, 1, 4, 2, 1, 1, 2, 4, 1, 1, 8, 1, 1], dtype=torch.float64)
    return batch_of(STATES[torch.multinomial(weight, 2000, replacement=True, generator=generator)])


def exact(model, rows):
    """Mean negative log-likelihood by enumeration, and its gradient."""
    value = model.energy(rows.values).mean() + torch.logsumexp(-model.energy(STATES), 0)
    return float(value.detach()), torch.autograd.grad(value, list(model.parameters()))


def run(model, inference, rows, state_of, seed=0, **options):
    program = inference(model, **options)
    state = state_of(program.blocks, seed)
    metrics = list(fit(program.phases, state, Minibatches(rows, program.batch_size, 0)))
    return state, metrics


def test_chains_take_the_law_of_the_energy_and_the_gradient_is_exact(rows, state_of):
    """Learning at rate 0: the chains' frequencies are those of the enumerated law, and so is the loss's slope."""
    model = RBM(rows.schema, spread=1.0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state, _ = run(model, pcd, rows, state_of, steps=30, chains=10_000, lr=0.0, batch_size=2000)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    chains = state.blocks["chains"]
    law = torch.softmax(-model.energy(STATES), 0).detach()
    place = chains @ torch.tensor([8.0, 4.0, 2.0, 1.0], dtype=torch.float64)
    found = torch.bincount(place.long(), minlength=16) / len(chains)
    z = (found - law) / (law * (1 - law) / len(chains)).sqrt()
    assert float(z.abs().max()) < 4
    _, wanted = exact(model, rows)
    value = model.energy(rows.values).mean() - model.energy(chains).mean()
    for found, slope in zip(torch.autograd.grad(value, list(model.parameters())), wanted, strict=True):
        torch.testing.assert_close(found, slope, atol=0.03, rtol=0)


def test_persistent_chains_reach_the_maximum_of_the_enumerated_likelihood(rows, state_of):
    model = RBM(rows.schema)
    start, _ = exact(model, rows)
    run(model, pcd, rows, state_of, steps=700, chains=500, batch_size=500, lr=0.05)
    end, slope = exact(model, rows)
    counts = torch.bincount((rows.values @ torch.tensor([8.0, 4.0, 2.0, 1.0], dtype=torch.float64)).long())
    share = counts / counts.sum()
    floor = float(-(share * share.log()).sum())
    assert floor < end < floor + 0.15 * (start - floor)
    assert max(float(s.abs().max()) for s in slope) < 0.03
    law = torch.softmax(-model.energy(STATES), 0).detach()
    torch.testing.assert_close(law @ STATES, rows.values.mean(0), atol=0.02, rtol=0)


def test_chains_from_the_data_learn_too(rows, state_of):
    model = RBM(rows.schema)
    start, _ = exact(model, rows)
    state, _ = run(model, cd, rows, state_of, steps=250, k=2, batch_size=500, lr=0.05)
    end, _ = exact(model, rows)
    assert end < start - 0.1 and len(state.blocks["chains"]) == 500


@pytest.mark.parametrize("inference, options", [(pcd, {"chains": 512}), (cd, {"k": 3})], ids=["pcd", "cd"])
def test_an_energy_without_a_kernel_is_moved_by_hmc(inference, options, batch_of, state_of):
    generator = torch.Generator().manual_seed(2)
    root = torch.tensor([[1.0, 0.0], [0.8, 0.6]], dtype=torch.float64)
    rows = batch_of(torch.randn(1000, 2, generator=generator, dtype=torch.float64) @ root.T + 1.0)
    model = Gaussian(rows.schema)
    _, told = run(model, inference, rows, state_of, steps=250, batch_size=1000, lr=0.1, **options)
    precision = (model.root @ model.root.T).detach()
    torch.testing.assert_close(torch.linalg.inv(precision), rows.values.T.cov(), atol=0.15, rtol=0)
    torch.testing.assert_close(model.mean.detach(), rows.values.mean(0), atol=0.1, rtol=0)
    assert 0.6 < float(sum(m["chains.acceptance"] for m in told[-100:])) / 100 < 0.95


@pytest.mark.parametrize("inference", [pcd, cd])
@pytest.mark.parametrize("family", [RBM, Gaussian])
def test_resumed_is_unbroken(inference, family, rows, unbroken):
    columns = VISIBLE if family is RBM else 2
    rows = replace(rows, values=rows.values[:50, :columns], index=torch.arange(50), total=50)

    def make():
        program = inference(family(rows.schema), steps=9, k=2)
        return program.phases, program.blocks

    state, _ = unbroken(make, Minibatches(rows, 20, 0))
    assert "chains" in state.blocks.tensors
