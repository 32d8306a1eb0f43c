"""Maximum likelihood of a linear-Gaussian model: least squares in closed form."""

import math

import pytest
import torch
from torch import nn

from genprob.data.batch import Minibatches
from genprob.engine.fit import fit
from genprob.engine.inferences.ml import ml
from genprob.model import Model


class LinearGaussian(Model):
    """The last column given the others."""

    precision = torch.float64

    def __init__(self, schema):
        super().__init__(schema)
        self.slope = nn.Parameter(torch.zeros(schema.width - 1, dtype=torch.float64))
        self.offset = nn.Parameter(torch.zeros((), dtype=torch.float64))
        self.log_sd = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def log_density(self, batch):
        error = batch.values[:, -1] - batch.values[:, :-1] @ self.slope - self.offset
        return -0.5 * (error * torch.exp(-self.log_sd)).square() - self.log_sd - 0.5 * math.log(2 * math.pi)


@pytest.fixture
def rows(batch_of):
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(300, 3, generator=generator, dtype=torch.float64) @ torch.tensor(
        [[1.0, 0.6, 0.0], [0.0, 1.0, 0.3], [0.0, 0.0, 0.7]], dtype=torch.float64
    )
    y = x @ torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64) + 0.7
    y = y + 0.3 * torch.randn(300, generator=generator, dtype=torch.float64)
    return batch_of(torch.cat([x, y[:, None]], 1))


@pytest.fixture
def answer(rows):
    """Slopes, offset and log standard deviation."""
    x, y = rows.values[:, :-1], rows.values[:, -1]
    design = torch.cat([x, torch.ones(len(x), 1, dtype=torch.float64)], 1)
    found = torch.linalg.lstsq(design, y[:, None]).solution[:, 0]
    return torch.cat([found, (y - design @ found).square().mean().sqrt().log()[None]])


def learned(model):
    return torch.cat([model.slope, model.offset[None], model.log_sd[None]]).detach()


@pytest.mark.parametrize(
    "options, tolerance",
    [
        ({"steps": 400, "batch_size": 1000, "lr": 0.1}, 1e-3),
        ({"steps": 500, "batch_size": 64, "lr": 0.05}, 0.02),
        ({"steps": 250, "batch_size": 1000, "lr": 0.1, "accumulate": 3}, 1e-2),
        ({"steps": 8, "optimizer": "lbfgs"}, 1e-4),
    ],
    ids=["rows", "batches", "pieces", "lbfgs"],
)
def test_it_reaches_the_closed_form(options, tolerance, rows, answer, state_of):
    model = LinearGaussian(rows.schema)
    program = ml(model, **options)
    batches = Minibatches(rows, program.batch_size, 0)
    told = [m[program.watch] for m in fit(program.phases, state_of(program.blocks), batches)]
    torch.testing.assert_close(learned(model), answer, atol=tolerance, rtol=0)
    entropy = float(answer[-1]) + 0.5 * (1 + math.log(2 * math.pi))
    assert float(sum(told[-5:])) / len(told[-5:]) == pytest.approx(entropy, abs=0.1)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_resumed_is_unbroken(optimizer, rows, unbroken):
    def make():
        program = ml(LinearGaussian(rows.schema), steps=9, optimizer=optimizer, accumulate=2)
        return program.phases, program.blocks

    unbroken(make, Minibatches(rows, 64, 0))
