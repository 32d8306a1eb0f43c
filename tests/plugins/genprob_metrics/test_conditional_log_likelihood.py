import numpy as np
import pytest

import genprob
from genprob.errors import UsageError
from genprob_metrics.conditional_log_likelihood import ConditionalLogLikelihood


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    x = rng.standard_normal(400)
    data = {"x": x, "y": 0.8 * x + 0.6 * rng.standard_normal(400)}
    return genprob.fit(data, schema={"x": "real", "y": "real"}, components=1), data


def test_given_variables(fitted, scores):
    joint, data = fitted
    score = scores(ConditionalLogLikelihood(given=("x",))(joint, data))["conditional_log_likelihood"]
    assert float(score.value) == pytest.approx(-np.log(0.6) - 0.5 * np.log(2 * np.pi * np.e), abs=0.05)
    assert score.measure == "y: lebesgue" and score.kind == "exact"
    assert float(score.value) == pytest.approx(
        float(joint.conditional_log_prob(data, given=["x"])["log_prob"].mean()), abs=1e-9
    )


def test_rows_that_know_nothing_of_the_rest_do_not_count(fitted, scores):
    joint, data = fitted
    holed = {"x": data["x"], "y": np.where(np.arange(400) < 100, np.nan, data["y"])}
    score = scores(ConditionalLogLikelihood(given="x")(joint, holed))["conditional_log_likelihood"]
    assert int(score.n) == 300


def test_random_masks_leave_out_less_the_more_is_given(known, scores):
    joint = known.gaussian(0.8)
    found = scores(ConditionalLogLikelihood(shares=(0.34, 1.0), rows=600, seed=2)(joint, known.rows(joint, 900)))
    by_share = found["conditional_log_likelihood_by_share"]
    # One of three is given, or two of three; the conditional variances follow from the correlation.
    one = -0.5 * (np.log(2 * np.pi * np.e) * 2 + np.linalg.slogdet(np.array([[0.36, 0.16], [0.16, 0.36]]))[1])
    two = -0.5 * np.log(2 * np.pi * np.e * (1 - 2 * 0.64 / 1.8))
    assert by_share.value[0] == pytest.approx(one, abs=4 * by_share.error[0] + 0.05)
    assert by_share.value[1] == pytest.approx(two, abs=4 * by_share.error[1])
    assert int(found["conditional_log_likelihood"].n) == 600


def test_a_difference_of_bounds_is_no_bound(known, scores):
    joint = known.gaussian()
    exact = joint.log_prob
    joint.log_prob = lambda data, seed=0: exact(data).assign_attrs(kind="lower_bound")
    found = scores(ConditionalLogLikelihood()(joint, known.rows(joint, 20)))
    assert found["conditional_log_likelihood"].kind == "estimate"


def test_everything_given_is_refused(fitted):
    joint, data = fitted
    with pytest.raises(UsageError, match="nothing is left"):
        ConditionalLogLikelihood(given=("x", "y"))(joint, data)
    with pytest.raises(UsageError, match="unknown variable"):
        ConditionalLogLikelihood(given=("q",))(joint, data)
