"""The score of a Gaussian smoothed by noise is linear and known."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from genprob.data.batch import Minibatches
from genprob.engine.fit import fit
from genprob.engine.inferences.dsm import dsm
from genprob.errors import UsageError
from genprob.model import Model

NOISE = 0.6
COVARIANCE = torch.tensor([[2.0, 0.7], [0.7, 0.5]], dtype=torch.float64)
MEAN = torch.tensor([1.0, -0.5], dtype=torch.float64)


class Linear(Model):
    """A linear score, for one level of noise."""

    precision = torch.float64

    def __init__(self, schema):
        super().__init__(schema)
        self.weight = nn.Parameter(torch.zeros(2, 2, dtype=torch.float64))
        self.bias = nn.Parameter(torch.zeros(2, dtype=torch.float64))

    def points(self, batch):
        return batch.values

    def score(self, points, noise):
        return points @ self.weight.T + self.bias


class Scale(Linear):
    """The score of N(0, s^2) at every level of noise; only s is learned."""

    def __init__(self, schema):
        super().__init__(schema)
        self.log_s = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def score(self, points, noise):
        return -points / (torch.exp(2 * self.log_s) + noise.square())[:, None]


@pytest.fixture
def rows(batch_of):
    draws = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return batch_of(draws @ torch.linalg.cholesky(COVARIANCE).T + MEAN)


def run(model, rows, state_of, **options):
    program = dsm(model, **options)
    list(fit(program.phases, state_of(program.blocks), Minibatches(rows, program.batch_size, 0)))


def test_a_linear_score_is_that_of_the_smoothed_gaussian(rows, state_of):
    model = Linear(rows.schema)
    run(model, rows, state_of, steps=600, batch_size=1000, lr=0.05, least=NOISE, most=NOISE)
    mean, covariance = rows.values.mean(0), rows.values.T.cov()
    precision = torch.linalg.inv(covariance + NOISE**2 * torch.eye(2, dtype=torch.float64))
    torch.testing.assert_close(model.weight.detach(), -precision, atol=0.06, rtol=0)
    torch.testing.assert_close(model.bias.detach(), precision @ mean, atol=0.07, rtol=0)


def test_many_levels_of_noise_share_one_answer(rows, state_of):
    centred = replace(rows, values=(rows.values - MEAN) @ torch.linalg.inv(torch.linalg.cholesky(COVARIANCE)).T * 1.7)
    model = Scale(rows.schema)
    run(model, centred, state_of, steps=250, batch_size=1000, lr=0.05, least=0.3, most=3.0)
    assert float(model.log_s.detach().exp()) == pytest.approx(float(centred.values.std()), rel=0.03)


def test_noises_that_cannot_be_are_refused(rows):
    for least, most in ((0.0, 1.0), (2.0, 1.0)):
        with pytest.raises(UsageError, match="least"):
            dsm(Linear(rows.schema), least=least, most=most)


def test_resumed_is_unbroken(rows, unbroken):
    def make():
        program = dsm(Scale(rows.schema), steps=9)
        return program.phases, program.blocks

    unbroken(make, Minibatches(rows, 700, 0))
