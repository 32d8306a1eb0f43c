"""The log of a fit survives kills, resumes and numbers that are not finite."""

import json
import math

import numpy as np
import pytest
import torch

from genprob.engine.events import Events
from genprob.errors import CorruptFileError


@pytest.fixture
def events(tmp_path):
    log = Events(tmp_path / "events.jsonl")
    for step in (10, 20, 30):
        log.append(step, {"loss": 1.0 / step})
    yield log
    log.close()


def steps(events):
    return [event["step"] for event in events.read()]


def test_a_torn_last_line_is_passed_over_and_cut_off(events):
    with events.path.open("a") as file:
        file.write('{"step": 31, "lo')
    assert steps(events) == [10, 20, 30]
    events.close()
    events.append(32, {})
    assert steps(events) == [10, 20, 30, 32]


def test_what_a_resumed_fit_did_again_counts_once(events):
    events.strike(10)
    for step in (15, 20):
        events.append(step, {"loss": 9.0})
    assert [(e["step"], e["loss"]) for e in events.read()] == [(10, 0.1), (15, 9.0), (20, 9.0)]


def test_every_line_is_strict_json(events):
    events.append(40, {"loss": math.nan, "low": -math.inf, "t": torch.tensor(2.0), "n": np.float64(1.5), "s": "x"})
    for line in events.path.read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)
    last = events.read()[-1]
    assert math.isnan(last.pop("loss")) and last == {"step": 40, "low": -math.inf, "t": 2.0, "n": 1.5, "s": "x"}


def test_a_line_that_is_no_event_is_named(events):
    events.path.write_text("nonsense\n" + events.path.read_text())
    with pytest.raises(CorruptFileError, match=r"events\.jsonl: line 1 is not an event"):
        events.read()


def test_no_log_yet(tmp_path):
    assert Events(tmp_path / "events.jsonl").read() == []
