"""Support: typical evidence passes at the nominal rate, far evidence fails, soft evidence is judged given the rest."""

import numpy as np
import pytest

import genprob
from genprob import OneOf, Soft, Within
from genprob.query.support import LEAST_RANK


def test_far_points_fail_and_are_not_reliable(joint):
    for given in ({"x": 40.0}, {"p": 1e6}, {"n": 300}, {"c": -60.0}, {"x": 1.0, "p": 1e-4}):
        answer = joint.query(["g"], given, draws=10)
        assert answer.attrs["support"] == "fail" and answer.attrs["reliable"] == 0, given
        assert "more unusual than 99.5 % of the data" in answer.attrs["reasons"]


def test_ranges_that_no_row_would_meet_fail(joint):
    for given in ({"x": Within(12, None)}, {"n": Within(60, 80)}, {"c": OneOf(20, 21)}, {"x": Soft(15.0, sd=0.1)}):
        answer = joint.query(["g"], given, draws=10)
        assert answer.attrs["support"] == "fail" and answer.attrs["reliable"] == 0, given
        assert "fewer than one in 600 rows would meet the evidence" in answer.attrs["reasons"]


@pytest.mark.parametrize(
    "soft", [{"x": Soft(1.0, sd=0.05)}, {"n": Soft(3.0, sd=1e-3)}, {"g": Soft({"a": 1e-7, "b": 2e-7})}]
)
def test_the_scale_of_a_likelihood_does_not_matter(joint, soft):
    assert joint.query(["u"], soft, draws=10).attrs["support"] == "ok"


def test_soft_evidence_is_judged_given_the_points(joint):
    """Several known cells are improbable together; that says nothing against a wide range beside them."""
    points = {"c": 1.0, "d": 2.0, "b": 1, "n": 4, "v": np.array([1, 0, 1, 1])}
    answer = joint.query(["u"], points | {"g": OneOf("a", "b")}, draws=10)
    assert answer.attrs["log_evidence"] < -np.log(600) and answer.attrs["support"] == "ok"
    odd = joint.query(["u"], {"x": 1.0, "p": Within(30.0, None)}, draws=10)
    assert odd.attrs["support"] == "fail"


def test_typical_rows_pass_at_about_the_nominal_rate(joint, data):
    fresh = data(3000, seed=7)
    rows = {k: fresh[k] for k in ("x", "p", "n")}
    answer = joint.query(["g"], rows=rows | {"g": np.array([None] * 3000, dtype=object)}, draws=1)
    rate = 1 - float(answer["sample_stats"]["reliable"].mean())
    assert rate < 4 * LEAST_RANK + 0.01
    rows["x"] = rows["x"] + np.where(np.arange(3000) % 2, 9.0, 0.0)
    shifted = joint.query(["g"], rows=rows | {"g": np.array([None] * 3000, dtype=object)}, draws=1)
    reliable = shifted["sample_stats"]["reliable"].values
    assert reliable[1::2].mean() < 0.02 and reliable[::2].mean() > 0.95


def test_a_question_without_evidence_is_supported(joint):
    answer = joint.query(["x"], {}, draws=10)
    assert answer.attrs["support"] == "ok" and answer.attrs["log_evidence"] == pytest.approx(0.0, abs=1e-12)


def test_a_model_that_can_only_be_sampled_is_judged_by_its_draws(sampler):
    answer = sampler.query(["x"], {"g": "a"}, draws=200)
    assert answer.attrs["support"] == "ok" and answer.attrs["reliable"] == 1


def test_reference_rows_with_holes_count_where_they_are_known():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 400))
    y[rng.random(400) < 0.7] = np.nan
    joint = genprob.fit({"x": x, "y": y}, components=1, steps=5)
    assert joint.query(["x"], {"y": 0.3}, draws=5).attrs["support"] == "ok"
    assert joint.query(["x"], {"y": 9.0}, draws=5).attrs["support"] == "fail"
