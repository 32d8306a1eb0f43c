import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from genprob.data.object_cells import nothing_known, tidy
from genprob.data.origin import Origin
from genprob.errors import DataError

HERE = Origin("t")


def objects(*values: object) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (np.array([1, 2]), np.array([1, 2])),
        (np.array([True, False]), np.array([True, False])),
        (objects(True, False), np.array([True, False])),
        (objects(True, None), np.array([1.0, np.nan])),
        (objects(1, 2), np.array([1, 2])),
        (objects(1, None, pd.NA, np.nan), np.array([1.0, np.nan, np.nan, np.nan])),
        (objects(1, 2.5), np.array([1.0, 2.5])),
        (objects(Decimal("0.1"), 2), np.array([0.1, 2.0])),
        (objects(None, None), np.array([np.nan, np.nan])),
        (objects(datetime.date(2020, 1, 1), None), np.array(["2020-01-01", "NaT"], dtype="datetime64[us]")),
        (objects(pd.Timestamp("2020-01-01"), pd.NaT), np.array(["2020-01-01", "NaT"], dtype="datetime64[us]")),
        (
            objects(datetime.datetime(2020, 1, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=1)))),
            np.array(["2020-01-01"], dtype="datetime64[us]"),
        ),
        (
            objects("2024-03-01", "", "2024-03-02T10:30:00Z"),
            np.array(["2024-03-01", "NaT", "2024-03-02T10:30"], dtype="datetime64[us]"),
        ),
        (np.array([90, "NaT"], dtype="timedelta64[s]"), np.array([90.0, np.nan])),
        (np.ma.array([1, 2], mask=[False, True]), np.array([1.0, np.nan])),
        (objects([1, 2], [3, 4]), np.array([[1.0, 2.0], [3.0, 4.0]])),
        (objects((1, 2), None), np.array([[1.0, 2.0], [np.nan, np.nan]])),
    ],
)
def test_types(raw: np.ndarray, expected: np.ndarray):
    found = tidy(raw, "x", HERE)
    assert found.dtype.kind == expected.dtype.kind
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (np.array(["a", "", " "]), ["a", None, None]),
        (np.array([b"a", b"b"]), ["a", "b"]),
        (objects("a", None, np.nan, pd.NA), ["a", None, None, None]),
        (objects("1", "2"), ["1", "2"]),
        (objects("2024-03-01", "spring"), ["2024-03-01", "spring"]),
        (objects("a", "b", 1.0), ["a", "b", "1"]),
        (np.ma.array(["a", "b"], mask=[False, True]), ["a", None]),
    ],
)
def test_labels(raw: np.ndarray, expected: list[str | None]):
    assert tidy(raw, "x", HERE).tolist() == expected


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (objects(1, 2, "abc", 4), ["row 2: 'abc'", "holds numbers"]),
        (objects("1.5", "2.5", "abc", "4"), ["row 2: 'abc'"]),
        (objects("a", object()), ["row 1", "object"]),
        (objects([1, 2], [3]), ["row 1", "(1,)", "row 0", "(2,)"]),
        (objects({"a": 1}), ["not arrays of numbers"]),
        (np.array([1j]), ["complex"]),
        (np.zeros(2, dtype=[("a", int)]), ["'x'"]),
    ],
)
def test_refusals(raw: np.ndarray, words: list[str]):
    with pytest.raises(DataError) as caught:
        tidy(raw, "x", HERE)
    for word in ["t: variable 'x'", *words]:
        assert word in str(caught.value)


def test_known_categories_may_mix():
    assert tidy(objects(1, 2, "abc", 4), "x", HERE, categorical=True).tolist() == ["1", "2", "abc", "4"]


def test_codes_with_a_stray_label_are_labels():
    raw = np.array(["9", "10", "11"] * 40 + ["other"], dtype=object)
    assert tidy(raw, "x", HERE).tolist() == raw.tolist()


def test_nothing_known():
    assert nothing_known(np.array([np.nan])) and nothing_known(np.array([None], dtype=object))
    assert nothing_known(np.array(["NaT"], dtype="datetime64[s]"))
    assert not nothing_known(np.array([np.nan, 0.0])) and not nothing_known(np.array([0]))


def test_a_day_that_no_calendar_has_is_named():
    with pytest.raises(DataError, match=r"'x' holds dates, except .*2024-02-31"):
        tidy(objects("2024-02-01", "2024-02-31"), "x", HERE)


def test_dates_said_to_be_labels_stay_labels():
    assert tidy(objects("2024-02-01", "2024-02-02"), "x", HERE, categorical=True).tolist() == [
        "2024-02-01",
        "2024-02-02",
    ]
