import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genprob.data.dates import DAYS, SECONDS, is_date, to_dates, to_numbers, unit_of
from genprob.data.schema import Variable
from genprob.data.support import Real


@given(st.lists(st.integers(-(10**11), 10**11), min_size=1))
def test_whole_seconds_come_back_exactly(seconds: list[int]):
    dates = np.array(seconds, dtype="datetime64[s]")
    numbers = to_numbers(dates, SECONDS)
    np.testing.assert_array_equal(numbers, seconds)
    np.testing.assert_array_equal(to_dates(numbers, SECONDS), dates)


@given(st.lists(st.integers(-(10**6), 10**6), min_size=1), st.sampled_from(["s", "ms", "us", "ns"]))
def test_days_come_back_exactly_in_any_resolution(days: list[int], step: str):
    dates = np.array(np.clip(days, -90_000, 90_000), dtype="datetime64[D]").astype(f"datetime64[{step}]")
    assert unit_of(dates) == DAYS
    np.testing.assert_array_equal(to_dates(to_numbers(dates, DAYS), DAYS), dates)


@given(st.lists(st.integers(0, 4 * 10**15), min_size=1))
def test_fractions_of_a_second_are_good_to_a_microsecond(microseconds: list[int]):
    dates = np.array(microseconds, dtype="datetime64[us]")
    error = to_dates(to_numbers(dates, SECONDS), SECONDS) - dates
    assert np.abs(error).max() <= np.timedelta64(1, "us")


def test_times_of_a_day_come_back_to_the_millisecond():
    dates = np.random.default_rng(0).integers(0, 86_400_000, 1000).astype("datetime64[ms]")
    np.testing.assert_array_equal(to_dates(to_numbers(dates, DAYS), DAYS), dates)


def test_missing_and_other_origins():
    dates = np.array(["2020-01-02", "NaT"], dtype="datetime64[D]")
    numbers = to_numbers(dates, "days since 2020-01-01")
    np.testing.assert_array_equal(numbers, [1.0, np.nan])
    np.testing.assert_array_equal(to_dates(numbers, "days since 2020-01-01"), dates)
    assert unit_of(np.array(["2020-01-02T01", "NaT"], dtype="datetime64[h]")) == SECONDS


def test_units():
    assert is_date(Variable("t", Real(), unit=DAYS))
    assert not is_date(Variable("t", Real(), unit="days"))
    assert not is_date(Variable("t", Real()))
    with pytest.raises(ValueError, match="fortnights"):
        to_dates(np.array([1.0]), "fortnights since 1970-01-01")
