"""Everything that can be stored comes back the same; everything else is refused by name."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from genprob.errors import UsageError
from genprob.results.coding import decode, encode, fitted

words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)


def back(data, attrs):
    stored = encode("v", data, attrs)
    extra = {} if stored.fill is None or stored.data.dtype.kind != "i" else {"_FillValue": stored.fill}
    return decode(stored.data, stored.attrs | extra)


@given(
    data=st.one_of(
        hnp.arrays(
            st.sampled_from(["f8", ">f8", "f4", "i8", "i2", "u1", "bool"]),
            hnp.array_shapes(min_dims=0, max_dims=3, min_side=0),
        ),
        hnp.arrays("M8[us]", hnp.array_shapes(min_side=0)),
        hnp.arrays("m8[s]", hnp.array_shapes(min_side=0)),
    )
)
def test_numbers_and_dates(data):
    values, attrs = back(data, {"units": "kg"} if data.dtype.kind not in "Mm" else {})
    assert values.dtype == data.dtype.newbyteorder("<") and values.shape == data.shape
    np.testing.assert_array_equal(values, data)
    assert attrs == ({"units": "kg"} if data.dtype.kind not in "Mm" else {})


@given(levels=st.lists(words.filter(bool), min_size=1, max_size=6, unique=True), seed=st.integers(0, 99))
def test_labels(levels, seed):
    codes = np.random.default_rng(seed).integers(-1, len(levels), (3, 4))
    data = np.array([*levels, np.nan], dtype=object)[codes]
    stored = encode("v", data, {"levels": levels})
    np.testing.assert_array_equal(stored.data, codes)
    assert stored.attrs["flag_meanings"].count(" ") == len(levels) - 1
    assert json.loads(stored.attrs["labels"]) == levels
    values, attrs = back(data, {"levels": levels, "units": "1"})
    assert values.tolist() == data.tolist() and attrs == {"levels": levels, "units": "1"}
    without = np.where(codes < 0, None, data)
    np.testing.assert_array_equal(encode("v", without, {"levels": levels}).data, codes)


@given(data=st.lists(words, max_size=5))
def test_text(data):
    # numpy itself drops no character but NUL, which is not among them.
    values, attrs = back(np.array(data, dtype=object), {})
    assert values.tolist() == data and attrs == {}


def test_codes_are_as_wide_as_the_levels_need():
    for count, kind in ((127, np.int8), (128, np.int16), (40_000, np.int32)):
        levels = [str(i) for i in range(count)]
        stored = encode("v", np.array(levels[-1:], dtype=object), {"levels": levels})
        assert stored.data.dtype == kind and stored.data.tolist() == [count - 1]


@pytest.mark.parametrize(
    "value", [None, True, np.bool_(True), {"a": 1}, ["a"], 2**70, b"x", np.zeros((2, 2)), "a\0b", "\ud800"]
)
def test_attributes_that_no_file_keeps_are_named(value):
    with pytest.raises(UsageError, match="variable 'v': attribute 'odd'"):
        encode("v", np.zeros(1), {"odd": value})


@pytest.mark.parametrize("name", ["a/b", "", "_FillValue", "DIMENSION_LIST", 3])
def test_attribute_names(name):
    with pytest.raises(UsageError, match="variable 'v': attribute"):
        encode("v", np.zeros(1), {name: 1})


@pytest.mark.parametrize(
    ("data", "attrs"),
    [
        (np.array([1j]), {}),
        (np.array([object()]), {}),
        (np.array(["a", 1], dtype=object), {}),
        (np.array(["a\0b"], dtype=object), {}),
        (np.array(["c"], dtype=object), {"levels": ["a", "b"]}),
    ],
)
def test_values_that_no_file_keeps_are_named(data, attrs):
    with pytest.raises(UsageError, match="variable 'v'"):
        encode("v", data, attrs)


def test_integers_may_turn_up_with_gaps():
    later = fitted("v", encode("v", np.array([1.0, np.nan]), {}), np.dtype(np.int64))
    values, _ = decode(later.data, {"_FillValue": later.fill})
    np.testing.assert_array_equal(values, [1.0, np.nan])
    assert fitted("v", encode("v", np.array([1, 2]), {}), np.dtype(np.float64)).data.dtype == np.float64
    with pytest.raises(UsageError, match="cannot follow"):
        fitted("v", encode("v", np.array([1.5]), {}), np.dtype(np.int64))
