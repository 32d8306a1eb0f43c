"""EM as a program of two moves."""

from itertools import pairwise

import pytest
import torch

from genprob.data.batch import Minibatches
from genprob.engine.fit import fit
from genprob.engine.inferences.em import em
from genprob.engine.randomness import Randomness
from genprob.engine.state import State
from genprob.errors import UsageError
from genprob.model import Model


class Coin(Model):
    """Two coins of known fairness .2 and .9 behind each row: only their share is learned."""

    def __init__(self, schema):
        super().__init__(schema)
        self.share = torch.nn.Parameter(torch.tensor(0.5, dtype=torch.float64), requires_grad=False)
        self.asked = []

    def expectation(self, batch):
        self.asked.append(len(batch))
        x = batch.values[:, 0]
        a, b = self.share * (0.1 + 0.8 * x), (1 - self.share) * (0.8 - 0.6 * x)
        likelihood = (a + b).log().mean()
        return {"n": (a / (a + b)).sum()}, {"log_likelihood": likelihood, "objective": likelihood}

    def maximisation(self, statistics, batch):
        return {"share": statistics["n"] / len(batch)}


@pytest.fixture
def coins(batch_of):
    rows = batch_of([[1.0]] * 6 + [[0.0]] * 4)
    return Coin(rows.schema), Minibatches(rows, 3, 0)


def run(model, batches, **options):
    program = em(model, **options)
    state = State(program.blocks, Randomness(0))
    return state, [float(m[program.watch]) for m in fit(program.phases, state, batches)]


def test_it_reaches_the_maximum_and_never_falls(coins):
    model, batches = coins
    _, told = run(model, batches, steps=300, tolerance=0.0)
    assert float(model.share) == pytest.approx((0.6 - 0.2) / 0.7, abs=1e-6)
    assert all(b >= a - 1e-12 for a, b in pairwise(told))
    assert set(model.asked) == {10}, "every iteration sees all rows"


def test_it_stops_when_the_objective_rises_by_less_than_the_tolerance(coins):
    model, batches = coins
    state, told = run(model, batches, steps=300, tolerance=1e-4)
    gains = [b - a for a, b in pairwise(told)]
    assert state.finished and gains[-1] < 1e-4 and all(g >= 1e-4 for g in gains[:-1])


def test_without_a_tolerance_all_iterations_are_run(coins):
    model, batches = coins
    state, told = run(model, batches, steps=37, tolerance=0.0)
    assert len(told) == 37 == state.step and not state.finished


def test_the_options_reach_the_program(coins):
    program = em(coins[0], steps=9, holdout=0.3, patience=4, evaluate_every=2)
    assert (program.phases[0].steps, program.holdout, program.patience, program.evaluate_every) == (9, 0.3, 4, 2)


def test_a_model_without_closed_forms_is_refused(batch_of):
    schema = batch_of([[1.0]]).schema
    with pytest.raises(UsageError, match=r"'em' needs .* which Model has not"):
        em(Model(schema))
