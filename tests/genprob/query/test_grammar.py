from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genprob.data.measure import Cell
from genprob.data.schema import Schema, Variable
from genprob.data.support import Binary, Categorical, Count, Interval, Positive, Real
from genprob.errors import UsageError
from genprob.query.evidence import Equals, Masked, OneOf, Soft, Within
from genprob.query.grammar import parse_given, parse_given_json, read_given

LEVELS = ("a", "b", "c, d", "1..2", "3+-1", "x=y", "New York", 'say "hi"', "..")
SCHEMA = Schema(
    (
        Variable("x", Real()),
        Variable("w", Positive()),
        Variable("p", Interval(0, 1)),
        Variable("price", Positive(), Cell(0.01)),
        Variable("n", Count()),
        Variable("flag", Binary()),
        Variable("g", Categorical(LEVELS)),
        Variable("when", Real(), unit="days since 1970-01-01"),
        Variable("body mass", Real()),
        Variable("x=1", Real()),
        Variable("g in b", Categorical(("u", "v"))),
        Variable("image", Real(), dims=("y", "x"), shape=(2, 2)),
    )
)


@pytest.mark.parametrize(
    ("text", "name", "evidence"),
    [
        ("x=1.2", "x", Equals(1.2)),
        ("x = -1.2e-3", "x", Equals(-1.2e-3)),
        ("x=.5", "x", Equals(0.5)),
        ("x=-0.5..0.6", "x", Within(-0.5, 0.6)),
        ("x=-2..-1", "x", Within(-2.0, -1.0)),
        ("x=..5", "x", Within(None, 5.0)),
        ("x=..-5", "x", Within(None, -5.0)),
        ("x=5..", "x", Within(5.0, None)),
        ("x=1e-3..1e3", "x", Within(1e-3, 1e3)),
        ("x= 0.5 .. 0.6", "x", Within(0.5, 0.6)),
        ("x=-inf..5", "x", Within(None, 5.0)),
        ("x=2...5", "x", Within(2.0, 5.0)),
        ("x=.1...5", "x", Within(0.1, 0.5)),
        ("x in 0.5..0.6", "x", Within(0.5, 0.6)),
        ("x=3.0+-0.2", "x", Soft(3.0, sd=0.2)),
        ("x=-3.0±0.2", "x", Soft(-3.0, sd=0.2)),
        ("x=1e+3 +- 1e+1", "x", Soft(1e3, sd=10.0)),
        ("x in 1,2", "x", OneOf(1.0, 2.0)),
        ("x=1=2", "x=1", Equals(2.0)),
        ("x=1", "x", Equals(1.0)),
        ("price=0.1", "price", Equals(0.1)),
        ("n=3", "n", Equals(3)),
        ("n in 1, 2", "n", OneOf(1, 2)),
        ("n=2..5", "n", Within(2.0, 5.0)),
        ("flag=1", "flag", Equals(1)),
        ("flag=false", "flag", Equals(0)),
        ("flag in 0,1", "flag", OneOf(0, 1)),
        ("g=a", "g", Equals("a")),
        ("g in a,b", "g", OneOf("a", "b")),
        ("g in b,a", "g", OneOf("b", "a")),
        ("g in b=u", "g in b", Equals("u")),
        ("g=1..2", "g", Equals("1..2")),
        ("g=3+-1", "g", Equals("3+-1")),
        ("g=x=y", "g", Equals("x=y")),
        ("g=..", "g", Equals("..")),
        ("g=New York", "g", Equals("New York")),
        ('g="New York"', "g", Equals("New York")),
        ("g=c, d", "g", Equals("c, d")),
        ('g in "c, d",a', "g", OneOf("c, d", "a")),
        ('g in a, "c, d"', "g", OneOf("a", "c, d")),
        ('g="say ""hi"""', "g", Equals('say "hi"')),
        ("body mass=3", "body mass", Equals(3.0)),
        ("body mass in 3,4", "body mass", OneOf(3.0, 4.0)),
        ("when=1970-01-03", "when", Equals(2.0)),
        ("when=2", "when", Equals(2.0)),
        ("when=1970-01-02T12:00", "when", Equals(1.5)),
        ("when=1970-01-02T02:00+02:00", "when", Equals(1.0)),
        ("when=1970-01-03..1970-02-01", "when", Within(2.0, 31.0)),
        ("when=..1969-12-31", "when", Within(None, -1.0)),
        ("when=1970-01-03+-0.5", "when", Soft(2.0, sd=0.5)),
    ],
)
def test_a_text_is_read_by_name_and_support(text, name, evidence):
    read_name, read = parse_given(SCHEMA, text)
    assert (read_name, read) == (name, evidence)
    if isinstance(read, Equals):
        assert type(read.value) is type(evidence.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("y=3", "unknown variable 'y'; known:"),
        ("prise=3", "unknown variable 'prise'; did you mean 'price'"),
        ("x", "there is no value; expected e.g. x=1.2, x=0.5..0.6"),
        ("x=", "there is no value"),
        ("x=abc", "'abc' is not a number; expected e.g. x=1.2"),
        ("x=nan", "'nan' is not a number"),
        ("x=inf", "'inf' is not a number"),
        ("x=1_0", "'1_0' is not a number"),
        ("x=2..1", "lower end of the range is above"),
        ("x=..", "both ends are open"),
        ("x=a..b", "ends of the range are no numbers"),
        ("x=0...5", "three dots"),
        ("x=1..2..3", "ends of the range are no numbers"),
        ("x=3+-0", "'0' is not a positive number"),
        ("x=3+--1", "is not a positive number"),
        ("x=3+-b", "is not a positive number"),
        ("x in 1,,2", "empty place"),
        ("n=1.5", "'1.5' is not a count; expected e.g. n=3"),
        ("n=-1", "is not a count"),
        ("flag=2", "'2' is neither 0 nor 1; expected flag=0 or flag=1"),
        ("flag=0..1", "neither 0 nor 1"),
        ("g=0.5..0.6", "is no label of 'g'"),
        ("g=a,b", "is no label of 'g'"),
        ('g="a","b"', "one label, several follow 'in'"),
        ("g in a,New Yrok", "did you mean 'New York'"),
        ('g in a,"b', "can not be read"),
        ("when=someday", "is not a number or a date; expected e.g. when=2024-05-01"),
        ("when=1970-13-01..1971-01-01", "no numbers or dates"),
        ("image=3", 'array with dims y, x; expected in a --given-json file {"image"'),
    ],
)
def test_what_can_not_be_meant_says_what_was_expected(text, message):
    with pytest.raises(UsageError) as caught:
        parse_given(SCHEMA, text)
    assert message in str(caught.value) and repr(text) in str(caught.value)


numbers = st.floats(allow_nan=False, allow_infinity=False)


@given(numbers, numbers)
@settings(max_examples=200, deadline=None)
def test_every_pair_of_numbers_makes_a_range(a, b):
    lo, hi = min(a, b), max(a, b)
    assert parse_given(SCHEMA, f"x={lo!r}..{hi!r}") == ("x", Within(lo, hi))


@given(st.lists(st.text(st.characters(exclude_categories=["C"]), min_size=1), min_size=1, max_size=4, unique=True))
@settings(max_examples=200, deadline=None)
def test_every_label_can_be_said_in_csv_quotes(labels):
    labels = [label.strip() for label in labels if label.strip()]
    labels = list(dict.fromkeys(labels))
    if not labels:
        return
    schema = Schema((Variable("g", Categorical(tuple(labels))),))
    out = io.StringIO()
    csv.writer(out, lineterminator="", quoting=csv.QUOTE_ALL).writerow(labels)
    assert parse_given(schema, f"g in {out.getvalue()}") == ("g", OneOf(*labels))
    assert parse_given(schema, f"g={labels[0]}")[1] == Equals(labels[0])


def test_json_forms():
    document = json.loads(
        """{"x": 1.2, "w": {"within": [0.5, null]}, "g": {"one_of": ["a", "c, d"]}, "n": 3, "flag": true,
        "p": {"value": 0.3, "sd": 0.1}, "g in b": {"likelihood": {"u": 0.7}}, "when": "1970-01-03",
        "image": {"array": [[1, null], [0, 2]], "mask": [[true, false], [true, true]]}}"""
    )
    read = parse_given_json(SCHEMA, document)
    masked = read.pop("image")
    assert read == {
        "x": Equals(1.2),
        "w": Within(0.5, None),
        "g": OneOf("a", "c, d"),
        "n": Equals(3),
        "flag": Equals(1),
        "p": Soft(0.3, sd=0.1),
        "g in b": Soft({"u": 0.7}),
        "when": Equals(2.0),
    }
    assert isinstance(masked, Masked)
    np.testing.assert_array_equal(masked.array, [[1, np.nan], [0, 2]])
    np.testing.assert_array_equal(masked.mask, [[True, False], [True, True]])


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"y": 1}, "unknown variable 'y'"),
        ({"x": None}, "null says nothing"),
        ({"x": [1]}, "a number or a text"),
        ({"x": {"between": [0, 1]}}, "no form of evidence"),
        ({"x": {"within": [0, 1], "sd": 1}}, "no form of evidence"),
        ({"x": {"within": [1, 0]}}, "above the upper"),
        ({"g": {"within": [0, 1]}}, "no form of evidence"),
        ({"g": {"value": 1, "sd": 1}}, "no form of evidence"),
        ({"x": {"value": 1, "sd": -1}}, "sd is not a positive number"),
        ({"x": {"within": [0]}}, "a range is [lo, hi]"),
        ({"x": {"within": [None, None]}}, "both ends are open"),
        ({"x": {"within": ["a", 1]}}, "is not a number"),
        ({"x": {"one_of": []}}, "no form of evidence"),
        ({"x": {"likelihood": {"1": 1}}}, "goes with labels"),
        ({"g": {"likelihood": {"z": 1}}}, "is no label"),
        ({"g": {"likelihood": {"a": -1}}}, "not a number from 0 up"),
        ({"g": {"likelihood": {"a": 0}}}, "likelihood 0"),
        ({"g": "z"}, "is no label"),
        ({"n": 1.5}, "is not a count"),
        ({"image": [[1, 2]]}, "shape (1, 2), not (2, 2)"),
        ({"image": {"array": [[1, 2], [3]], "mask": [[1, 1], [1, 1]]}}, "ragged"),
        ({"image": {"array": [[1, 2], [3, 4]], "mask": [[1, 1], [1, 5]]}}, "true and false only"),
    ],
)
def test_json_that_can_not_be_meant(document, message):
    with pytest.raises(UsageError) as caught:
        parse_given_json(SCHEMA, document)
    assert message in str(caught.value)


def test_texts_and_file_are_one_question(tmp_path):
    file = tmp_path / "given.json"
    file.write_text('{"x": 1}')
    assert read_given(SCHEMA, ["g=a"], file) == {"x": Equals(1.0), "g": Equals("a")}
    with pytest.raises(UsageError, match="'x' is given twice"):
        read_given(SCHEMA, ["x=2"], file)
    with pytest.raises(UsageError, match="'g' is given twice"):
        read_given(SCHEMA, ["g=a", "g=b"])
    file.write_text("[1]")
    with pytest.raises(UsageError, match="expected one object"):
        read_given(SCHEMA, [], file)
    file.write_text("{")
    with pytest.raises(UsageError, match="is not JSON"):
        read_given(SCHEMA, [], file)
    with pytest.raises(UsageError, match="can not be read"):
        read_given(SCHEMA, [], tmp_path / "absent.json")
