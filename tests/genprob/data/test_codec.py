import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genprob.data.codec import column, decode, encode, label, labels
from genprob.data.dates import DAYS
from genprob.data.measure import Cell
from genprob.data.origin import Origin
from genprob.data.schema import Schema, Variable
from genprob.data.support import Binary, Categorical, Count, Interval, Positive, Real
from genprob.errors import DataError, UsageError

GRADES = Variable("g", Categorical(("Fair", "Good", "Very Good")))
SCHEMA = Schema(
    (
        GRADES,
        Variable("k", Categorical(("1", "2", "10"))),
        Variable("x", Real()),
        Variable("c", Real(), Cell(0.01)),
        Variable("p", Interval(0, 1)),
        Variable("n", Count()),
        Variable("b", Binary()),
        Variable("t", Real(), Cell(1.0), unit=DAYS),
        Variable("im", Binary(), dims=("y", "x"), shape=(2, 2)),
    )
)
HERE = Origin("t.csv")


@given(st.lists(st.text(), unique=True, min_size=1), st.randoms())
def test_any_labels_come_back(levels: list[str], random: st.DataObject):
    schema = Schema((Variable("g", Categorical(tuple(levels))),))
    codes = np.array([[float(random.randrange(len(levels))) for _ in range(3)] for _ in range(2)])
    decoded = decode(schema, "g", codes)
    assert decoded.shape == (2, 3)
    for at, value in np.ndenumerate(decoded):
        assert encode(schema, "g", value)[0] == codes[at]


@pytest.mark.parametrize(
    ("name", "value", "numbers"),
    [
        ("g", "Good", [1.0]),
        ("g", np.str_("Good"), [1.0]),
        ("k", 10, [2.0]),
        ("k", 2.0, [1.0]),
        ("k", "1.0", [0.0]),
        ("x", "1.5", [1.5]),
        ("x", np.float32(1.5), [1.5]),
        ("c", 0.305, [0.305]),
        ("n", "3", [3.0]),
        ("b", True, [1.0]),
        ("b", "false", [0.0]),
        ("t", "1970-01-03", [2.0]),
        ("t", datetime.date(1970, 1, 3), [2.0]),
        ("t", datetime.datetime(1970, 1, 3, 12), [2.5]),
        ("t", np.datetime64("1970-01-03"), [2.0]),
        ("t", 2, [2.0]),
        ("im", [[0, 1], [1, 0]], [0.0, 1.0, 1.0, 0.0]),
    ],
)
def test_evidence_in_any_sensible_form(name: str, value: object, numbers: list[float]):
    np.testing.assert_array_equal(encode(SCHEMA, name, value), numbers)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("g", "Goood", ["'Goood'", "did you mean 'Good'"]),
        ("g", 3, ["3", "Fair, Good, Very Good"]),
        ("x", "abc", ["'abc'", "not a number"]),
        ("x", np.inf, ["inf", "not finite"]),
        ("x", None, ["missing"]),
        ("x", np.nan, ["missing"]),
        ("x", [1.0], ["(1,)", "single value"]),
        ("p", 1.0, ["interval(0, 1)", "ends"]),
        ("n", 1.5, ["1.5", "whole number"]),
        ("n", -1, ["-1"]),
        ("b", 2, ["not 0 or 1"]),
        ("t", "1970-13-01", ["1970-13-01", "date"]),
        ("im", 1, ["(2, 2)", "()"]),
        ("im", [[0, 1], [1, 2]], ["2", "not 0 or 1"]),
        ("im", [[0, 1], [1, np.nan]], ["Masked"]),
        ("y", 1, ["unknown variable 'y'"]),
    ],
)
def test_bad_evidence_is_told(name: str, value: object, words: list[str]):
    with pytest.raises(UsageError) as caught:
        encode(SCHEMA, name, value)
    assert "\n" not in str(caught.value) and repr(name) in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_ends_of_ranges_may_lie_outside():
    assert encode(SCHEMA, "p", 1.0, inside=False)[0] == 1.0
    assert encode(SCHEMA, "n", 0.5, inside=False)[0] == 0.5
    with pytest.raises(UsageError):
        encode(SCHEMA, "p", "abc", inside=False)


def test_unknown_pixels_may_be_allowed():
    np.testing.assert_array_equal(encode(SCHEMA, "im", [[0, 1], [1, np.nan]], missing=True), [0, 1, 1, np.nan])


def test_decoded_types():
    assert decode(SCHEMA, "n", np.array([1.0, 2.0])).dtype == np.int64
    np.testing.assert_array_equal(decode(SCHEMA, "n", np.array([1.0, np.nan])), [1.0, np.nan])
    assert decode(SCHEMA, "b", np.zeros((3, 2, 2))).dtype == np.int64
    np.testing.assert_array_equal(decode(SCHEMA, "c", np.array([0.28999, np.nan])), [0.29, np.nan])
    assert decode(SCHEMA, "g", np.array([0.0, np.nan])).tolist() == ["Fair", None]
    dates = decode(SCHEMA, "t", np.array([1.0, np.nan]))
    np.testing.assert_array_equal(dates, np.array(["1970-01-02", "NaT"], dtype="datetime64[us]"))
    with pytest.raises(ValueError, match="3 levels"):
        decode(SCHEMA, "g", np.array([-1.0]))


@pytest.mark.parametrize(
    ("variable", "array", "words"),
    [
        (
            GRADES,
            np.array(["Good", None, "Godo"], dtype=object),
            ["row 2: 'Godo'", "Fair, Good", "did you mean 'Good'"],
        ),
        (Variable("x", Real()), np.array([1.0, np.inf]), ["row 1: inf"]),
        (Variable("x", Positive()), np.array([1.0, 0.0]), ["row 1: 0", "above zero"]),
        (Variable("x", Real()), np.array(["1", "b"], dtype=object), ["row 1: 'b'", "not a number"]),
        (Variable("x", Real()), np.array(["2020-01-01"], dtype="datetime64[s]"), ["dates", "unit"]),
        (Variable("x", Real()), np.array([2**53 + 1, 1]), ["row 0", "2**53"]),
        (Variable("x", Real()), np.array([1j]), ["complex"]),
        (Variable("n", Count()), np.array([0.5, 1.0]), ["row 0: 0.5"]),
    ],
)
def test_bad_columns_name_file_variable_row_and_value(variable: Variable, array: np.ndarray, words: list[str]):
    with pytest.raises(DataError) as caught:
        column(variable, array, HERE)
    assert str(caught.value).startswith(f"t.csv: variable {variable.name!r}")
    for word in words:
        assert word in str(caught.value)


def test_lenient_columns_lose_bad_cells_with_a_note():
    numbers, notes = column(GRADES, np.array(["Good", "Godo"], dtype=object), HERE, strict=False)
    np.testing.assert_array_equal(numbers, [1.0, np.nan])
    assert "'Godo'" in notes[0] and "missing" in notes[0]


def test_cells_keep_table_values_and_move_others_with_a_note():
    variable = Variable("c", Real(), Cell(0.01))
    table = np.round(np.arange(-500, 501) / 100, 2)
    numbers, notes = column(variable, table, HERE)
    np.testing.assert_array_equal(numbers, table)
    assert not notes
    noisy = table + 1e-10
    np.testing.assert_array_equal(column(variable, noisy, HERE)[0], noisy)
    numbers, notes = column(variable, np.array([0.29, 0.304]), HERE)
    np.testing.assert_array_equal(numbers, [0.29, 0.3])
    assert "1 values" in notes[0] and "row 1: 0.304" in notes[0]


def test_float32_stands_for_the_decimal_it_was_written_as():
    numbers, notes = column(Variable("c", Real(), Cell(0.01)), np.array([1234.56, 0.29], dtype=np.float32), HERE)
    np.testing.assert_array_equal(numbers, [1234.56, 0.29])
    assert not notes


def test_labels_of_any_type():
    assert [label(v) for v in ("a", 1, 1.0, 1.5, True, b"b")] == ["a", "1", "1", "1.5", "True", "b"]
    assert labels(np.array([1.0, np.nan, 2.0])).tolist() == ["1", None, "2"]
    assert labels(np.array(["a", " ", ""])).tolist() == ["a", None, None]
    assert labels(np.array([[True], [False]])).tolist() == [["True"], ["False"]]
