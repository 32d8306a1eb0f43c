"""Hamiltonian Monte Carlo of a Gaussian in ten dimensions, and of a posterior in closed form."""

import pytest
import torch

from genprob.data.batch import Minibatches
from genprob.engine.fit import fit
from genprob.engine.inferences.hmc import hmc
from genprob.errors import UsageError
from genprob.model import Model

D = 10
AT = torch.arange(D, dtype=torch.float64)
SCALE = torch.logspace(-1, 1, D, dtype=torch.float64)
COVARIANCE = 0.7 ** (AT[:, None] - AT).abs() * SCALE[:, None] * SCALE
PRECISION = torch.linalg.inv(COVARIANCE)
CHAINS, WARMUP, STEPS = 32, 200, 750


class Correlated(Model):
    """Ten unknowns, neighbours correlated by .7, standard deviations from .1 to 10; the rows say nothing."""

    precision = torch.float64

    def positions(self, chains):
        return 3 * torch.randn(chains, D, dtype=torch.float64)

    def log_posterior(self, positions, batch):
        off = positions - AT
        return -0.5 * (off @ PRECISION * off).sum(-1)


class Mean(Model):
    """The unknown mean of unit normals, with a standard normal prior."""

    precision = torch.float64

    def positions(self, chains):
        return 5 * torch.randn(chains, 1, dtype=torch.float64)

    def log_posterior(self, positions, batch):
        return -0.5 * positions[:, 0].square() - 0.5 * (batch.values[:, 0] - positions).square().sum(-1)


@pytest.fixture
def rows(batch_of):
    return batch_of([[1.0], [2.0], [0.5]])


def run(model, rows, state_of, **options):
    program = hmc(model, **options)
    state, sizes, rates = state_of(program.blocks, 1), [], []
    for metrics in fit(program.phases, state, Minibatches(rows, 256, 0)):
        sizes.append(float(metrics["hmc.step_size"]))
        rates.append(float(metrics["hmc.acceptance"]))
    record = program.phases[1].moves[1]
    return state, record.draws(state), sizes, rates


def z_scores(values, truth):
    """Values `[draws, chains, ...]` against their expectation: chains are independent, so their means are."""
    means = values.mean(0)
    return (means.mean(0) - truth) / (means.std(0) / len(means) ** 0.5)


def test_moments_of_a_correlated_gaussian(rows, state_of):
    state, draws, sizes, rates = run(
        Correlated(rows.schema), rows, state_of, steps=STEPS, warmup=WARMUP, chains=CHAINS, leapfrogs=16, shard=256
    )
    assert draws.shape == (STEPS - WARMUP, CHAINS, D) and bool(torch.isfinite(draws).all())
    off = draws - AT
    assert float(z_scores(draws, AT).abs().max()) < 4.5
    assert float(z_scores(off[..., :, None] * off[..., None, :], COVARIANCE).abs().max()) < 5
    assert float((off.square().mean((0, 1)) / COVARIANCE.diagonal() - 1).abs().max()) < 0.15
    assert len(set(sizes[:WARMUP])) > 0.9 * WARMUP and len(set(sizes[WARMUP:])) == 1, "adapted, then frozen"
    assert sizes[-1] == pytest.approx(float(state.memory["hmc"]["log_average"].exp())), "the average of those tried"
    assert sum(rates[WARMUP:]) / len(rates[WARMUP:]) == pytest.approx(0.8, abs=0.1)
    torch.testing.assert_close(state.memory["hmc"]["scale"] / SCALE, torch.ones_like(SCALE), atol=0.35, rtol=0)
    shards = sorted(name for name in state.blocks.tensors if name.startswith("draws."))
    assert shards == ["draws.00000", "draws.00001", "draws.00002"]
    assert torch.equal(draws[-1], state.blocks["position"])


def test_a_posterior_given_rows(rows, state_of):
    _, draws, _, _ = run(Mean(rows.schema), rows, state_of, steps=400, warmup=100, chains=64, thin=2, leapfrogs=5)
    n, total = len(rows), float(rows.values.sum())
    assert draws.shape == (150, 64, 1)
    assert float(z_scores(draws, total / (n + 1)).abs()) < 4
    assert float(z_scores((draws - total / (n + 1)).square(), 1 / (n + 1)).abs()) < 4


def test_resumed_is_unbroken_in_either_phase(rows, unbroken):
    def make():
        program = hmc(Correlated(rows.schema), steps=40, warmup=20, chains=4, leapfrogs=3, shard=7)
        return program.phases, program.blocks

    state, _ = unbroken(make, Minibatches(rows, 2, 0), cuts=6)
    assert state.memory["draws"]["count"] == 20 and state.memory["hmc"]["adapted"] == 20


def test_numbers_that_cannot_be_are_refused(rows):
    for wrong in ({"chains": 0}, {"target": 1.0}, {"thin": 0}, {"warmup": -1}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            hmc(Mean(rows.schema), **wrong)
