"""Greedy layers: linear autoencoders one upon the other, whose least losses are sums of eigenvalues."""

import pytest
import torch
from torch import nn

from genprob.data.batch import Minibatches
from genprob.engine.blocks import Blocks
from genprob.engine.descend import Descend, adam, warmup_cosine
from genprob.engine.fit import fit
from genprob.engine.phase import Phase

STEPS = 300


class Autoencoder(nn.Module):
    def __init__(self, wide, narrow, seed):
        super().__init__()
        weight = torch.randn(narrow, wide, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        self.weight = nn.Parameter(torch.linalg.qr(weight.T)[0].T.contiguous())

    def code(self, x):
        return x @ self.weight.T

    def loss(self, x):
        """Least over tied weights: the sum of the eigenvalues that the code leaves out."""
        return (self.code(x) @ self.weight - x).square().sum(1).mean()


def make(steps=STEPS):
    layers = {"first": Autoencoder(4, 2, 0), "second": Autoencoder(2, 1, 1)}
    inputs = {"first": lambda x: x, "second": lambda x: layers["first"].code(x).detach()}

    def phase(name):
        move = Descend(
            name,
            frozenset({f"{name}.*"}),
            lambda blocks, batch: layers[name].loss(inputs[name](batch.values)),
            adam(0.05),
            warmup_cosine(),
            horizon=steps,
        )
        return Phase((move,), steps, name=name)

    return [phase("first"), phase("second")], Blocks(layers)


@pytest.fixture
def rows(batch_of):
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(500, 4, generator=generator, dtype=torch.float64) * torch.tensor([3.0, 1.5, 0.5, 0.2]).double()
    turn = torch.linalg.qr(torch.randn(4, 4, generator=generator, dtype=torch.float64))[0]
    return batch_of(x @ turn)


def test_each_phase_lowers_its_own_loss_to_the_known_least_and_leaves_the_other_layer(rows, state_of):
    phases, blocks = make()
    state, told, weights = state_of(blocks), [], []
    for metrics in fit(phases, state, Minibatches(rows, 1000, 0)):
        told.append({name: float(value) for name, value in metrics.items()})
        weights.append((blocks["first.weight"].detach().clone(), blocks["second.weight"].detach().clone()))
    start = make()[1]
    assert all(torch.equal(w[1], start["second.weight"]) for w in weights[:STEPS])
    assert all(torch.equal(w[0], weights[STEPS - 1][0]) for w in weights[STEPS:])
    values = torch.linalg.eigvalsh(rows.values.T @ rows.values / len(rows)).flip(0)
    first, second = [m["first.loss"] for m in told[:STEPS]], [m["second.loss"] for m in told[STEPS:]]
    assert first[0] > 1.2 * first[-1] and first[-1] == pytest.approx(float(values[2:].sum()), rel=1e-3)
    assert second[0] > 1.2 * second[-1] and second[-1] == pytest.approx(float(values[1]), rel=1e-2)


def test_resumed_is_unbroken_in_either_phase(rows, unbroken):
    unbroken(lambda: make(8), Minibatches(rows, 64, 0), cuts=6)
