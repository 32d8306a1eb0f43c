"""The history of a fit: a function of the steps alone."""

import numpy as np
import torch

import genprob
from genprob.engine.history import RECORDS, History, as_dataset
from genprob.engine.run import Run
from genprob.results.file import write


def recorded(path, horizon, steps, flush_at=()):
    with Run.create(path, {}, "") as run:
        history = History(run, horizon)
        for step in steps:
            history.record(step, {"loss": torch.tensor(float(step))}, always=step == 7)
            if step in flush_at:
                history.flush()
        history.flush()
        return [event["step"] for event in run.events()]


def test_a_short_fit_is_recorded_whole_whenever_it_is_flushed(tmp_path):
    every = list(range(1, 21))
    assert recorded(tmp_path / "a", 20, every) == recorded(tmp_path / "b", 20, every, flush_at=(3, 11)) == every


def test_a_long_fit_is_thinned_with_its_first_and_last_step(tmp_path):
    horizon = 10 * RECORDS + 3
    kept = recorded(tmp_path / "a", horizon, range(1, horizon + 1))
    assert kept == [1, 7, *range(10, horizon, 10), horizon]


def test_metrics_lie_along_step_and_absent_ones_are_not_numbers(tmp_path):
    events = [{"step": 1, "loss": 2.0}, {"step": 5, "loss": 1.0, "held_out": -3.0}]
    history = as_dataset(events, {"model": "mixture"})
    write(history, tmp_path / "fit.nc")
    back = genprob.open(tmp_path / "fit.nc")
    assert back["step"].values.tolist() == [1, 5] and back["loss"].dims == ("step",)
    np.testing.assert_array_equal(back["held_out"].values, [np.nan, -3.0])
    assert back.attrs["model"] == "mixture"


def test_a_fit_of_no_step_has_an_empty_history(tmp_path):
    write(as_dataset([], {}), tmp_path / "fit.nc")
    assert genprob.open(tmp_path / "fit.nc").sizes["step"] == 0
