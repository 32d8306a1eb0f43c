"""NUTS as an inference: a posterior in closed form, statistics of each draw, a fit that is cut and goes on."""

import pytest
import torch

from genprob.data.batch import Minibatches
from genprob.engine.fit import fit
from genprob.engine.inferences.hmc import hmc
from genprob.engine.inferences.nuts import nuts
from genprob.errors import UsageError
from genprob.model import Model


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


def kept(program, state, name):
    return next(move for move in program.phases[1].moves if move.name == name).draws(state)


def test_a_posterior_and_the_statistics_of_its_draws(rows, state_of):
    program = nuts(Mean(rows.schema), steps=250, warmup=100, chains=64, thin=2, shard=32)
    state, sizes = state_of(program.blocks, 1), []
    for metrics in fit(program.phases, state, Minibatches(rows, 256, 0)):
        assert all(value.ndim == 0 for value in metrics.values())
        sizes.append(float(metrics["nuts.step_size"]))
    draws = kept(program, state, "draws")
    n, total = len(rows), float(rows.values.sum())
    assert draws.shape == (75, 64, 1) and len(set(sizes[:100])) > 90 and len(set(sizes[100:])) == 1
    for values, truth in ((draws, total / (n + 1)), ((draws - total / (n + 1)).square(), 1 / (n + 1))):
        means = values.mean(0)
        assert abs(float((means.mean() - truth) / (means.std() / 8))) < 4
    stats = {name: kept(program, state, f"sample_stats.{name}") for name in ("acceptance", "energy", "diverging")}
    assert all(value.shape == (75, 64) for value in stats.values()) and not bool(stats["diverging"].any())
    # The energy of a draw holds its potential and a chi-squared's half of its momentum.
    potential = 2 * (draws[..., 0] - total / (n + 1)).square()
    assert float((stats["energy"] - potential).mean()) == pytest.approx(
        0.5 + 0.5 * float((rows.values[:, 0] - total / (n + 1)).square().sum()) + 0.5 * (total / (n + 1)) ** 2, abs=0.1
    )
    assert float(kept(program, state, "sample_stats.leapfrogs").min()) >= 1


def test_resumed_is_unbroken_in_either_phase(rows, unbroken):
    def make():
        program = nuts(Mean(rows.schema), steps=24, warmup=12, chains=4, shard=5)
        return program.phases, program.blocks

    state, _ = unbroken(make, Minibatches(rows, 2, 0), cuts=6)
    assert state.memory["draws"]["count"] == 12 and state.memory["sample_stats.energy"]["count"] == 12


def test_numbers_that_cannot_be_are_refused(rows):
    for inference, wrong in ((nuts, {"depth": 0}), (nuts, {"chains": 0}), (hmc, {"leapfrogs": 0})):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            inference(Mean(rows.schema), **wrong)
