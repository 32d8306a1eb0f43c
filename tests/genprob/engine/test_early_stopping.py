"""Early stopping: the best step, the end of patience, and nothing disturbed on the way."""

import math

import pytest
import torch
from torch import nn

from genprob.engine.blocks import Blocks
from genprob.engine.early_stopping import EarlyStopping
from genprob.engine.randomness import Randomness
from genprob.engine.state import State


class Told(nn.Module):
    """Scores that a test dictates; a module with dropout and running statistics."""

    def __init__(self, scores):
        super().__init__()
        self.scores = iter(scores)
        self.layers = nn.Sequential(nn.BatchNorm1d(1), nn.Dropout(0.5))

    def score_rows(self, batch):
        assert not self.training and not any(m.training for m in self.modules())
        self.layers(batch.values.float())
        return torch.full((len(batch),), next(self.scores))


@pytest.fixture
def watch(batch_of):
    def over(scores, every=1, patience=2, rows=3):
        model = Told(scores)
        watcher = EarlyStopping(model, batch_of(torch.zeros(rows, 1)), every, patience)
        state = State(Blocks({"model": model}), Randomness(0))
        seen = []
        for step in range(1, every * len(scores) + 1):
            state.step = step
            seen.append((watcher.observe(state), watcher.best(state), watcher.ended(state)))
        return seen, state, model

    return over


def test_best_steps_and_patience(watch):
    seen, state, _ = watch([1.0, 3.0, 2.0, 3.0, 9.0])
    assert [s for s, _, _ in seen] == [1.0, 3.0, 2.0, 3.0, 9.0]
    assert [b for _, b, _ in seen] == [True, True, False, False, True], "an equal score is no better one"
    assert [e for _, _, e in seen] == [False, False, False, True, False]
    assert state.memory["early stopping"] == {"best": 9.0, "best_step": 5, "waited": 0}


def test_looks_are_every_so_many_steps(watch):
    seen, _, _ = watch([1.0, 0.5], every=3)
    assert [s for s, _, _ in seen] == [None, None, 1.0, None, None, 0.5]
    assert [b for _, b, _ in seen] == [False, False, True, False, False, False]


def test_a_score_that_is_no_number_is_never_the_best(watch):
    seen, state, _ = watch([math.nan, math.inf, -math.inf])
    assert not any(b for _, b, _ in seen) and state.memory["early stopping"]["waited"] == 3


def test_looking_moves_no_statistics_and_modes_come_back(batch_of):
    model = Told([1.0])
    model.layers[0].eval()  # frozen by its author
    watcher = EarlyStopping(model, batch_of(torch.ones(3, 1)), 1, 2)
    state = State(Blocks({"model": model}), Randomness(0))
    outer = torch.get_rng_state()
    watcher.observe(state)
    assert torch.equal(model.layers[0].running_mean, torch.zeros(1))
    assert (model.training, model.layers[0].training, model.layers[1].training) == (True, False, True)
    assert torch.equal(torch.get_rng_state(), outer)


def test_the_score_is_the_mean_over_rows_however_many(batch_of):
    class Ramp:
        def score_rows(self, batch):
            return batch.values[:, 0]

    rows = torch.arange(10_001.0)[:, None]
    state = State(Blocks({}), Randomness(0))
    assert EarlyStopping(Ramp(), batch_of(rows), 1, 2).observe(state) == pytest.approx(5000.0)
