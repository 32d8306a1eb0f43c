import numpy as np
import pytest

from genprob.errors import UsageError
from genprob_metrics.masked import Masked


def test_scores_of_a_gaussian_are_those_of_its_conditionals(known, scores):
    joint = known.gaussian(0.8)
    result = Masked(shares=(0.0, 1.0), rows=1200, draws=60)(joint, known.rows(joint, 1200))
    found = scores(result)
    sd = np.sqrt(1 - 2 * 0.64 / 1.8)
    by_share = found["crps_by_share"]
    assert by_share.value[0] == pytest.approx(1 / np.sqrt(np.pi), abs=4 * by_share.error[0])
    assert by_share.value[1] == pytest.approx(sd / np.sqrt(np.pi), abs=4 * by_share.error[1])
    assert found["energy_by_share"].value[1] == pytest.approx(by_share.value[1])
    assert found["crps"].units == "sd of the data" and found["crps"].better == "lower"
    assert int(found["crps"].n) == 600 * 3 + 600 and int(found["energy"].n) == 1200
    assert list(result.coords["variable"]) == ["x", "y", "z"] and result.attrs["failed"] == 0


def test_units_are_those_of_the_training_rows_where_they_are_given(known, scores):
    joint = known.gaussian(0.5)
    data = known.rows(joint, 300)
    wide = joint.dataset(4 * joint.law(np.random.default_rng(1), 4000))
    plain, scaled = (scores(Masked(draws=20, train=train)(joint, data))["crps"] for train in (None, wide))
    assert float(scaled.value) == pytest.approx(float(plain.value) / 4, rel=0.1)
    assert scaled.units == "sd of the training rows"


def test_labels_are_scored_by_log_loss(known, scores):
    p = np.array([0.6, 0.3, 0.1])
    joint = known.labels(tuple(p))
    found = scores(Masked(shares=(0.5,), rows=2000, draws=400)(joint, known.rows(joint, 2000)))
    assert float(found["log_loss"].value) == pytest.approx(
        -(p * np.log(p)).sum(), abs=4 * float(found["log_loss"].error)
    )
    assert found["log_loss"].units == "nats"
    assert np.isnan(found["log_loss_by_variable"].value[0]) and np.isnan(found["crps_by_variable"].value[1])
    wrong = known.labels(tuple(p), claimed=(0.1, 0.3, 0.6))
    worse = scores(Masked(shares=(0.5,), rows=500, draws=100)(wrong, known.rows(joint, 500)))
    assert float(worse["log_loss"].value) > float(found["log_loss"].value) + 0.3


def test_the_true_conditionals_score_best(known, scores):
    data = known.rows(known.gaussian(), 500)
    value = {
        spread: float(scores(Masked(draws=30)(known.gaussian(spread=spread), data))["crps"].value)
        for spread in (0.3, 1.0, 2.5)
    }
    assert value[1.0] < value[0.3] and value[1.0] < value[2.5]


def test_rows_draws_and_seed(known, scores):
    joint = known.gaussian()
    data = known.rows(joint, 100)
    few = Masked(rows=20, draws=10)(joint, data)
    assert len(few.rows) == 20 and few.attrs["draws"] == 10
    again, other = Masked(rows=20, draws=10)(joint, data), Masked(rows=20, draws=10, seed=1)(joint, data)
    assert float(scores(few)["crps"].value) == float(scores(again)["crps"].value)
    assert float(scores(few)["crps"].value) != float(scores(other)["crps"].value)
    assert (few.rows == again.rows).all() and (few.rows != other.rows).any()


@pytest.mark.parametrize("options", [{"draws": 1}, {"rows": 0}, {"shares": (2.0,)}, {"seed": -1}])
def test_options_that_cannot_be_meant(options):
    with pytest.raises(UsageError, match=next(iter(options))):
        Masked(**options)
