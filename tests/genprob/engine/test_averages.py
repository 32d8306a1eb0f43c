"""Moving averages of parameters: found in memory, judged, put back, and what a run answers with."""

import numpy as np
import pytest
import torch
from torch import nn

import genprob
from genprob.data.batch import as_batch
from genprob.engine.averages import averaged, averages
from genprob.engine.blocks import Blocks
from genprob.engine.early_stopping import EarlyStopping
from genprob.engine.randomness import Randomness
from genprob.engine.run import Run
from genprob.engine.state import State
from genprob.model import Model


class Normal(Model):
    """N(loc, 1), with a recipe."""

    inferences = ("ml",)
    precision = torch.float64

    def __init__(self, schema):
        super().__init__(schema)
        self.loc = nn.Parameter(torch.zeros(1, dtype=torch.float64))

    @property
    def recipe(self):
        return {"ml": {"ema": 0.9, "steps": 40, "lr": 0.05, "holdout": 0.25}}

    def log_density(self, batch):
        return -0.5 * (batch.values[:, 0] - self.loc).square()

    def score_rows(self, batch):
        return self.log_density(batch)


@pytest.fixture
def data():
    return {"x": np.random.default_rng(0).normal(size=200) + 3.0}


def test_averages_of_all_moves_are_found_by_the_names_of_blocks():
    a, b = torch.ones(1), torch.zeros(2)
    memory = {
        "one": {"ema": {"model.a": a}, "count": 3},
        "two": {"ema": {"model.b": b}},
        "early stopping": {"best": 1.0},
    }
    assert averages(memory) == {"model.a": a, "model.b": b}
    assert averages({"one": {"count": 1}}) == {}


def test_blocks_hold_averages_within_and_parameters_after_even_when_something_fails():
    module = nn.Linear(2, 1)
    before = module.weight.detach().clone()
    state = State(Blocks({"model": module}), Randomness(0), memory={"m": {"ema": {"model.weight": torch.ones(1, 2)}}})
    with pytest.raises(RuntimeError), averaged(state):
        assert torch.equal(module.weight, torch.ones(1, 2))
        raise RuntimeError
    assert torch.equal(module.weight, before)


def test_held_out_rows_judge_the_average(batch_of):
    class Weight(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.tensor(1.0))

        def score_rows(self, batch):
            return self.w.expand(len(batch))

    model = Weight()
    state = State(Blocks({"model": model}), Randomness(0), memory={"m": {"ema": {"model.w": torch.tensor(5.0)}}})
    assert EarlyStopping(model, batch_of(torch.zeros(3, 1)), 1, 2).observe(state) == 5.0
    assert float(model.w.detach()) == 1.0


def test_a_validating_model_is_judged_by_what_it_says(batch_of):
    class Both:
        def score_rows(self, batch):
            return torch.zeros(len(batch))

        def validate(self, batch):
            return torch.full((len(batch),), 7.0)

    assert EarlyStopping(Both(), batch_of(torch.zeros(3, 1)), 1, 2).observe(State(Blocks({}), Randomness(0))) == 7.0


def test_the_answer_of_a_run_is_the_average_that_was_judged_best(data, tmp_path):
    inference = {"name": "ml", "evaluate_every": 10}
    joint = genprob.fit(data, Normal, out=tmp_path / "run", inference=inference)
    run = Run.open(tmp_path / "run")
    tree = run.load().tree["state"]
    average, last = tree["memory"]["ml"]["ema"]["model.loc"], tree["blocks"]["model.loc"]
    assert torch.equal(joint.model.loc, average) and not torch.equal(average, last)
    history = genprob.open(tmp_path / "run" / "fit.nc")["held_out"]
    held = np.random.default_rng(0).permutation(200)[:50]
    batch = as_batch(joint.table({"x": data["x"][np.sort(held)]}))
    assert float(history.sel(step=run.step)) == pytest.approx(float(joint.model.score_rows(batch).detach().mean()))


def test_a_resumed_fit_keeps_its_average_bit_for_bit(data, tmp_path):
    whole = genprob.fit(data, Normal, out=tmp_path / "whole")

    def stop(event):
        if "step" in event:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        genprob.fit(data, Normal, out=tmp_path / "cut", progress=stop)
    assert Run.open(tmp_path / "cut").step < 40
    resumed = genprob.fit(data, Normal, out=tmp_path / "cut", resume=True)
    assert torch.equal(whole.model.loc, resumed.model.loc)


def test_a_recipe_yields_to_what_is_said(data, tmp_path):
    inference = {"name": "ml", "ema": 0.0, "steps": 7}
    genprob.fit(data, Normal, out=tmp_path / "run", inference=inference)
    tree = Run.open(tmp_path / "run").load().tree["state"]
    assert tree["step"] == 7 and "ema" not in tree["memory"]["ml"]
