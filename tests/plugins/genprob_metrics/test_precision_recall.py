import numpy as np
import pytest

from genprob.data.schema import Schema, Variable
from genprob.data.support import Real
from genprob.errors import DataError
from genprob_metrics.precision_recall import PrecisionRecall

SQUARE = Schema((Variable("x", Real()), Variable("y", Real())))


def uniform(known, width):
    """A joint that is uniform on [0, width] x [0, 1]."""
    return known.Known(SQUARE, lambda rng, n: rng.random((n, 2)) * [width, 1.0], None)


@pytest.fixture
def square(known):
    return uniform(known, 1.0).dataset(np.random.default_rng(5).random((800, 2)))


def test_draws_of_the_truth_score_what_the_truth_is_expected_to(known, scores, square):
    found = scores(PrecisionRecall(k=5)(uniform(known, 1.0), square))
    assert found["coverage"].ideal == pytest.approx(1 - 0.5**5, abs=0.01)
    for name in ("density", "coverage"):
        assert float(found[name].value) == pytest.approx(found[name].ideal, abs=4 * float(found[name].error) + 0.02)
    assert min(float(found[name].value) for name in ("precision", "recall")) > 0.93


def test_half_of_the_draws_off_the_data_is_half_the_precision(known, scores, square):
    found = scores(PrecisionRecall(k=3)(uniform(known, 2.0), square))
    assert float(found["precision"].value) == pytest.approx(0.5, abs=0.08)
    assert float(found["recall"].value) > 0.93
    assert float(found["density"].value) == pytest.approx(0.5, abs=0.1)


def test_draws_of_half_the_data_are_half_the_recall(known, scores, square):
    found = scores(PrecisionRecall(k=3)(uniform(known, 0.5), square))
    assert float(found["precision"].value) > 0.93
    assert float(found["recall"].value) == pytest.approx(0.5, abs=0.08)
    assert float(found["coverage"].value) == pytest.approx(0.5, abs=0.08)


def test_a_lost_class_is_lost_recall_in_the_space_of_a_classifier(known, classes, scores):
    joint = classes(lambda rng, n: rng.random(n), 6.0)
    data = known.rows(joint((0, 1)), 600, 1)
    both, one = (scores(PrecisionRecall(label="g", train=data)(joint(kept), data)) for kept in ((0, 1), (0,)))
    assert float(both["recall"].value) > 0.9
    assert float(one["coverage"].value) == pytest.approx(0.5, abs=0.08)
    assert float(one["recall"].value) < 0.65 and float(one["precision"].value) > 0.9


def test_more_neighbours_than_rows(known):
    joint = uniform(known, 1.0)
    with pytest.raises(DataError, match="10 rows have no 10 neighbours"):
        PrecisionRecall(k=10)(joint, joint.sample(10).rename(draw="row"))
