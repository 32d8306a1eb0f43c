"""The query batch: how evidence becomes arrays, and every way in which it can make no sense."""

import numpy as np
import pytest

from genprob import Equals, Masked, OneOf, Soft, Within
from genprob.data.measure import Cell
from genprob.data.schema import Schema, Variable
from genprob.data.support import Real
from genprob.errors import UsageError
from genprob.query.batch import LIKELIHOOD, NOISY, NOTHING, POINT, RANGE, SET, QueryBatch


def batch(schema, *rows, targets=None):
    return QueryBatch.from_evidence(schema, rows, targets)


def kinds(batch):
    """The kinds of evidence of each query."""
    return [set(row.tolist()) - {NOTHING} for row in batch.kind]


def test_every_kind_is_placed_at_its_columns(schema):
    given = {
        "x": 1.5, "p": Within(0.5, None), "u": Soft(3, sd=0.2), "c": OneOf(1, 0.5), "g": OneOf("a", "c"),
        "b": Equals(True), "n": OneOf(3, 1), "v": Masked(np.array([1, 9, 0, 9]), np.array([1, 0, 1, 0], dtype=bool)),
    }  # fmt: skip
    one = batch(schema, given)
    assert one.kind[0].tolist() == [POINT, RANGE, NOISY, SET, NOTHING, SET, POINT, SET, POINT, NOTHING, POINT, NOTHING]
    assert one.a[0, 0] == 1.5 and (one.a[0, 1], one.b[0, 1]) == (0.5, np.inf) and (one.a[0, 2], one.b[0, 2]) == (3, 0.2)
    assert one.sets[3].tolist() == [[0.5, 1.0]] and one.sets[7].tolist() == [[1.0, 3.0]]
    assert one.likelihoods[5].tolist() == [[1, 0, 1]] and one.a[0, 6] == 1.0
    assert one.a[0, 8] == 1 and one.a[0, 10] == 0
    assert one.asked[0].tolist() == (one.kind[0] == NOTHING).tolist() and one.targets == ("d", "v")


def test_likelihoods_of_levels_not_named_are_zero(schema):
    one = batch(schema, {"g": Soft({"c": 2.0, "a": 0.5})}, {"b": Soft({1: 0.25})})
    assert one.likelihoods[5].tolist() == [[0.5, 0, 2.0], [1, 1, 1]] and one.kind[0, 5] == LIKELIHOOD
    assert one.likelihoods[6].tolist() == [[1, 1], [0, 0.25]]


def test_sets_of_different_lengths_are_padded(schema):
    one = batch(schema, {"c": OneOf(0)}, {"c": OneOf(1, 2, 3)}, {"n": OneOf(4)})
    assert np.isnan(one.sets[3][0, 1:]).all() and np.isnan(one.sets[3][2]).all()
    assert one.sets[3][1].tolist() == [1, 2, 3]
    taken = one.take(np.array([1]))
    assert len(taken) == 1 and taken.sets[3].tolist() == [[1, 2, 3]] and taken.kind[0, 3] == SET


def test_two_values_of_one_cell_are_one_member(schema):
    assert batch(schema, {"c": OneOf(0.5, 0.5 + 1e-12, 0.6, 2)}).sets[3].tolist() == [[0.5, 2.0]]


def test_knowing_less_leaves_the_rest(schema):
    one = batch(schema, {"x": 1.0, "n": Within(1, 4)})
    less = one.only(np.arange(schema.width) == 0)
    assert kinds(less) == [{POINT}] and kinds(one) == [{POINT, RANGE}]


def test_holes_are_asked(schema):
    values = np.full((2, schema.width), np.nan)
    values[0, 0], values[1, 5] = 2.0, 1
    one = QueryBatch.from_values(schema, values)
    assert kinds(one) == [{POINT}, {POINT}] and (one.asked == np.isnan(values)).all()


def test_part_of_an_array_may_be_asked_while_another_is_given(schema):
    half = Masked(np.zeros(4), np.array([True, True, False, False]))
    one = batch(schema, {"v": half}, targets=["v"])
    assert one.asked[0, 8:].tolist() == [False, False, True, True] and one.targets == ("v",)


BAD = [
    ({"x": Within(2, 1)}, "'x': the interval 2..1 is upside down"),
    ({"n": Within(5, 3)}, "'n': the interval 5..3 is upside down"),
    ({"x": Within(1, 1)}, "'x': the interval 1..1 is a point, of probability zero"),
    ({"p": Within(-3, -1)}, "'p': the interval -3..-1 has probability zero on its support, positive"),
    ({"p": Within(None, 0)}, "'p': the interval None..0 has probability zero"),
    ({"u": Within(10, 12)}, r"'u': the interval 10..12 has probability zero on its support, interval\(0, 10\)"),
    ({"n": Within(None, -1)}, "'n': the interval None..-1 has probability zero on its support, count"),
    ({"n": Within(0.2, 0.8)}, "'n': the interval 0.2..0.8 has probability zero"),
    ({"c": Within(0.6, 0.9)}, r"'c': no value of its grid \(step 0.5\) lies in 0.6..0.9"),
    ({"x": Within(float("nan"), 1)}, "'x': the given value is missing"),
    ({"g": Within("a", "b")}, r"'g' is categorical: give OneOf\(...\), not a range"),
    ({"b": Within(0, 1)}, "'b' is binary: give OneOf"),
    ({"p": -1.0}, "'p': -1: not above zero"),
    ({"u": 10.0}, r"'u': 10: outside interval\(0, 10\)"),
    ({"n": 1.5}, "'n': 1.5: not a whole number"),
    ({"n": -2}, "'n': -2: not a whole number from 0"),
    ({"b": 2}, "'b': 2: not 0 or 1"),
    ({"g": "d"}, "'g': 'd': not one of the levels a, b, c"),
    ({"x": "high"}, "'x': 'high': not a number"),
    ({"x": float("nan")}, "'x': the given value is missing; leave it out"),
    ({"x": float("inf")}, "'x': inf: not finite"),
    ({"x": [1.0, 2.0]}, "'x' has the shape"),
    ({"y": 1.0}, "unknown variable 'y'"),
    ({"x": OneOf(1.0, 2.0)}, "'x' is a true real: a set of points has probability zero; give a range"),
    ({"g": OneOf("a", "z")}, "'g': 'z': not one of the levels"),
    ({"n": OneOf(1, -1)}, "'n': -1: not a whole number"),
    ({"c": OneOf(float("nan"))}, "'c': the given value is missing"),
    ({"v": OneOf(0, 1)}, "'v' is an array; sets are for scalars"),
    ({"x": Soft(1.0)}, r"'x': Soft\(value, sd=...\) needs a standard deviation above zero"),
    ({"x": Soft(1.0, sd=0.0)}, "above zero"),
    ({"x": Soft(1.0, sd=-2.0)}, "above zero"),
    ({"x": Soft(1.0, sd=float("nan"))}, "above zero"),
    ({"x": Soft(float("nan"), sd=1.0)}, "'x': the given value is missing"),
    ({"x": Soft(float("inf"), sd=1.0)}, "'x': a noisy reading of inf says nothing"),
    ({"x": Soft({"a": 1.0})}, r"'x' is real: give Soft\(value, sd=...\)"),
    ({"g": Soft(1.0, sd=0.1)}, "'g' is categorical: give Soft"),
    ({"b": Soft(1.0, sd=0.1)}, "'b' is binary: give Soft"),
    ({"g": Soft({"a": -0.1})}, "'g': the likelihood of 'a' is -0.1, not >= 0"),
    ({"g": Soft({"a": float("inf")})}, "the likelihood of 'a' is inf"),
    ({"g": Soft({"a": 0.0, "b": 0})}, "'g': every likelihood is zero"),
    ({"g": Soft({"z": 1.0})}, "'g': 'z': not one of the levels"),
    ({"v": Soft({"0": 1.0})}, "'v' is an array; likelihood vectors are for scalars"),
    ({"v": Masked(np.zeros(4), np.ones(3, dtype=bool))}, r"'v': the mask has shape \(3,\), the variable \(4,\)"),
    ({"v": Masked(np.zeros(5), np.ones(4, dtype=bool))}, r"'v': the array has shape \(5,\), the variable \(4,\)"),
    ({"v": Masked(np.full(4, 7), np.ones(4, dtype=bool))}, "'v': 7: not 0 or 1"),
    ({"v": np.zeros(3)}, "'v' has the shape"),
]


@pytest.mark.parametrize("given, message", BAD, ids=lambda v: str(v)[:50])
def test_evidence_without_sense_is_refused_by_name(schema, given, message):
    with pytest.raises(UsageError, match=message):
        batch(schema, given)


def test_a_target_may_not_be_given(schema):
    with pytest.raises(UsageError, match="target 'x' is also given; ask it or give it, not both"):
        batch(schema, {"x": 1.0, "g": "a"}, targets=["n", "x"])
    with pytest.raises(UsageError, match="target 'v' is also given"):
        batch(schema, {"v": np.zeros(4)}, targets=["v"])
    with pytest.raises(UsageError, match="unknown variable 'xx'"):
        batch(schema, {"x": 1.0}, targets=["xx"])
    with pytest.raises(UsageError, match="no target"):
        batch(schema, {"x": 1.0}, targets=[])
    with pytest.raises(UsageError, match="names no value"):
        OneOf()


def test_dates_can_be_given_as_text():
    from genprob.data.schema import Schema, Variable
    from genprob.data.support import Real

    schema = Schema((Variable("t", Real(), unit="days since 1970-01-01"), Variable("x", Real())))
    one = batch(schema, {"t": Within("2026-01-01", "2026-01-31")})
    assert one.b[0, 0] - one.a[0, 0] == 30


def test_what_makes_no_sense_never_reaches_a_model(joint):
    for given, _ in BAD:
        with pytest.raises(UsageError):
            joint.query(["d"], given, draws=2)


def test_a_half_line_meets_the_cells_of_any_grid():
    schema = Schema((Variable("c", Real(), Cell(25.0)),))
    found = QueryBatch.from_evidence(schema, [{"c": Within(30, None)}, {"c": Within(None, 30)}, {}])
    assert found.kind[:, 0].tolist() == [RANGE, RANGE, NOTHING]
