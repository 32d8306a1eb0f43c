"""Hundreds of columns, many levels, and input at the edge of what can be asked."""

import resource
import time

import numpy as np
import pandas as pd
import pytest

import genprob
from genprob.errors import Diverged, GenprobError
from genprob_autoregressive.masks import FEWEST, MOST, distinct


def wide(rows=2000, numbers=180, labels=20):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(rows, 5))
    x = z @ rng.normal(size=(5, numbers)) + rng.normal(size=(rows, numbers))
    frame = pd.DataFrame(x, columns=[f"x{i}" for i in range(numbers)])
    for i in range(labels):
        level = np.clip((z[:, i % 5] + 1.5 + 0.5 * rng.normal(size=rows)).astype(int), 0, 3)
        frame[f"g{i}"] = np.array(list("abcd"), dtype=object)[level]
    return frame


def test_two_hundred_columns_fit_and_answer_in_bounded_time_and_memory():
    frame = wide()
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    joint = genprob.fit(frame, model="anyorder", steps=3, hidden=32)
    blank = frame.iloc[:2].astype(object)
    blank.iloc[0, 65:80] = blank.iloc[1, 190:] = None
    answer = joint.query(rows=blank, draws=10)
    spent, used = time.process_time() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert spent < 25 and used < 1_000_000  # seconds of the processor; kilobytes
    assert np.isfinite(answer["posterior"]["x70"].values).all()
    # What the factors behind the known columns say of a hidden one is known from the start.
    away = answer["marginals"]["x70_mean"].values[0] - frame["x70"][0]
    assert abs(away) < 4 * answer["marginals"]["x70_sd"].values[0]
    assert answer["marginals"]["x70_sd"].values[0] < 0.8 * frame["x70"].std()


def test_masks_become_fewer_as_tables_become_wider():
    assert distinct(10) == distinct(48) == MOST and distinct(400) == FEWEST
    assert FEWEST < distinct(96) < MOST


def test_many_levels_are_learned_and_unseen_ones_refused():
    rng = np.random.default_rng(1)
    town = rng.integers(0, 600, 3000)
    labels = np.array([f"town {k:03d}" for k in range(600)], dtype=object)
    frame = pd.DataFrame({"town": labels[town], "rent": 5.0 + (town % 7) + 0.1 * rng.normal(size=3000)})
    joint = genprob.fit(frame, model="anyorder", steps=20, hidden=16)
    p = joint.query(targets=["town"], given={"rent": 8.0}, draws=20)["marginals"]["town_pmf"].values
    assert p.shape == (frame["town"].nunique(),) and np.isclose(p.sum(), 1)
    assert any("town has" in note and "rows each" in note for note in joint.notes)
    with pytest.raises(GenprobError, match="town 601"):
        joint.query(targets=["rent"], given={"town": "town 601"}, draws=5)


@pytest.fixture(scope="module")
def small():
    rng = np.random.default_rng(2)
    x = rng.normal(size=200)
    frame = pd.DataFrame({"x": x, "y": x + 0.3 * rng.normal(size=200), "one": 7.0, "g": np.where(x > 0, "a", "b")})
    return genprob.fit(frame, model="anyorder", steps=20, hidden=16)


def test_a_row_of_holes_asks_the_joint_itself(small):
    rows = pd.DataFrame({"x": [np.nan, 0.5], "y": [np.nan, np.nan], "one": [np.nan, 7.0], "g": [None, "a"]})
    answer = small.query(rows=rows, draws=500)
    nothing = small.query(targets=["x"], given={}, draws=10)
    assert np.isclose(answer["marginals"]["x_mean"].values[0], nothing["marginals"]["x_mean"])
    assert answer["sample_stats"]["log_evidence"].values[0] == 0


def test_evidence_far_outside_the_data_is_answered_and_told(small):
    for given in ({"x": 1e6}, {"x": 3.0, "y": -3.0}):
        answer = small.query(targets=["g"], given=given, draws=20)
        assert answer.attrs["support"] == "fail" and answer.attrs["reliable"] == 0
        assert np.isfinite(answer["marginals"]["g_pmf"].values).all()


def test_a_column_of_one_value_is_no_obstacle(small):
    answer = small.query(targets=["one", "x"], given={"y": 0.3}, draws=200)
    assert (answer["posterior"]["one"].values == 7.0).mean() > 0.9
    assert np.isfinite(small.log_prob({"x": [0.1], "y": [0.2], "one": [7.0], "g": ["a"]})["log_prob"]).all()


def test_a_rate_that_runs_away_ends_the_fit_in_words():
    x = np.random.default_rng(3).normal(size=100)
    with pytest.raises(Diverged):
        genprob.fit({"x": x, "y": x**2}, model="anyorder", steps=60, hidden=16, inference={"name": "ml", "lr": 1e30})
