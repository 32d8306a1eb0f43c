"""Chains that carry their logits: their law and their slope against enumeration, and what a fit makes of them."""

from itertools import product

import pytest
import torch

from genprob.data.batch import Batch, Minibatches
from genprob.data.schema import Schema, Variable
from genprob.data.support import Binary, Categorical, Real
from genprob.engine.capabilities import Lifts
from genprob.engine.fit import fit
from genprob.engine.inferences.pcd import pcd
from genprob.engine.inferences.phases import lifting
from genprob.engine.randomness import Randomness
from genprob.engine.state import State
from genprob_energy.rbm import RBM


def model_of(levels, hidden=3, spread=1.0):
    names = "abcde"
    supports = [Binary() if size == 2 else Categorical(tuple(names[:size])) for size in levels]
    model = RBM(Schema(tuple(Variable(f"v{i}", support) for i, support in enumerate(supports))), hidden=hidden)
    with torch.no_grad():
        for tensor in (model.weight, model.visible, model.hidden):
            tensor.copy_(spread * torch.randn(tensor.shape))
        model.offset.uniform_(0.1, 0.9)
        model.centre.uniform_(0.1, 0.9)
    return model


def law_of(model):
    states = model._states()
    with torch.no_grad():
        return states, torch.softmax(-model.machine().free_energy(states).double(), 0)


@pytest.mark.parametrize("levels", [(2, 2, 2, 2), (2, 3, 2)], ids=["binaries", "categories"])
def test_the_kernel_leaves_the_law_as_it_is_and_finds_it(levels):
    """From exact draws no share changes; from one state all shares are found."""
    torch.manual_seed(0)
    model, count = model_of(levels), 40_000
    states, law = law_of(model)
    kernel = model.lifted_kernel()
    for begun in (torch.multinomial(law, count, replacement=True), torch.zeros(count, dtype=torch.long)):
        with torch.no_grad():
            lifted, memory = model.lift(states[begun]), kernel.init(states[begun])
            for _ in range(12 if not begun.any() else 2):
                lifted, memory, told = kernel.step(lifted, memory)
            every = model.lift(states)
        found = torch.cdist(lifted[:, : len(model.weight)], every[:, : len(model.weight)]).argmin(1)
        torch.testing.assert_close(lifted, every[found])  # the logits are those of the points, under these couplings
        share = torch.bincount(found, minlength=len(states)) / count
        assert ((share - law).abs() < 4.5 * (law * (1 - law) / count).sqrt() + 1e-4).all()
    assert 0.05 < float(told["flipped"]) < 0.95


@pytest.mark.parametrize("levels", [(2, 2, 2, 2), (2, 3, 2)], ids=["binaries", "categories"])
def test_the_slope_of_the_phases_is_the_enumerated_likelihoods(levels):
    torch.manual_seed(1)
    model = model_of(levels).double()
    model.precision = torch.float64
    states, law = law_of(model)
    rows = states[torch.tensor([0, 3, 5, 3])]
    parameters = [model.weight, model.visible, model.hidden]
    plain = model.machine().free_energy
    likelihood = -plain(rows).mean() - torch.logsumexp(-plain(states), 0)
    wanted = torch.autograd.grad(-likelihood, parameters)
    share = torch.cat([torch.full((4,), 0.25).double(), -law])
    phases = share @ model.lifted_energy(model.lift(torch.cat([rows, states])))
    for found, exact in zip(torch.autograd.grad(phases, parameters), wanted, strict=True):
        torch.testing.assert_close(found, exact, atol=1e-10, rtol=0)


def test_reals_are_not_lifted():
    model = RBM(Schema((Variable("x", Real()), Variable("b", Binary()))), hidden=2)
    assert isinstance(model, Lifts) and lifting(model) is None
    assert lifting(model_of((2, 2))) is not None


@pytest.mark.parametrize("how", [{"k": 3}, {"centred": False}, {"momentum": 0.5, "lr": 0.3}])
def test_a_fit_finds_the_law_of_its_rows(how):
    """All states of three binaries in unequal shares: what is learned by chains that carry their logits has them."""
    torch.manual_seed(2)
    states = torch.tensor(list(product([0.0, 1.0], repeat=3)))
    wanted = torch.tensor([8, 1, 1, 4, 2, 3, 1, 12]) / 32
    rows = states.repeat_interleave((wanted * 32).long(), 0).repeat(20, 1)
    model = RBM(Schema(tuple(Variable(f"v{i}", Binary()) for i in range(3))), hidden=6)
    batch = Batch(model.schema, rows, torch.ones_like(rows, dtype=torch.bool), torch.arange(len(rows)), len(rows))
    model.prepare(batch, seed=0)
    program = pcd(model, steps=800, chains=500, **{"lr": 0.05} | how)
    state = State(program.blocks, Randomness(0, torch.device("cpu")), horizon=800)
    for _ in fit(program.phases, state, Minibatches(batch, 128, 0)):
        pass
    _, law = law_of(model)
    assert float((law - wanted).abs().max()) < 0.03
    assert state.blocks["chains"].shape == (500, 3 + 6)
    with torch.no_grad():  # drawn under nearly these couplings: the rate has fallen to nothing
        away = state.blocks["chains"][:, :3]
        again = model.lift(away + model.offset)
    torch.testing.assert_close(state.blocks["chains"], again, atol=1e-2, rtol=0)
