"""Dates as reals: a count of days or seconds since an origin, said in the variable's unit."""

from __future__ import annotations

import re

import numpy as np

from genprob.data.schema import Variable

DAYS = "days since 1970-01-01"
SECONDS = "seconds since 1970-01-01"
_UNIT = re.compile(r"^(?P<step>days|seconds) since (?P<origin>\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2})?)?)$")
_MICROSECONDS = {"days": 86_400_000_000, "seconds": 1_000_000}


def is_date(variable: Variable) -> bool:
    """True when the unit says that values count days or seconds from an origin."""
    return bool(variable.unit and _UNIT.match(variable.unit))


def unit_of(values: np.ndarray) -> str:
    """Days where every known date is a midnight, else seconds."""
    known = values[~np.isnat(values)]
    return DAYS if np.array_equal(known, known.astype("datetime64[D]")) else SECONDS


def to_numbers(values: np.ndarray, unit: str) -> np.ndarray:
    """float64 counts of `unit`, NaN where NaT. Exact for whole seconds, else good to about a quarter microsecond.

    >>> to_numbers(np.array(["1970-01-02"], dtype="datetime64[s]"), "days since 1970-01-01")
    array([1.])
    """
    step, origin = _split(unit)
    elapsed = values.astype("datetime64[us]") - origin
    numbers = elapsed.astype(np.int64) / _MICROSECONDS[step]
    return np.where(np.isnat(values), np.nan, numbers)


def to_dates(numbers: np.ndarray, unit: str) -> np.ndarray:
    """datetime64[us] from counts of `unit`, NaT where NaN; the inverse of `to_numbers`.

    >>> to_dates(np.array([1.5, np.nan]), "days since 1970-01-01").astype(str).tolist()
    ['1970-01-02T12:00:00.000000', 'NaT']
    """
    step, origin = _split(unit)
    missing = np.isnan(numbers)
    whole = np.floor(np.where(missing, 0.0, numbers))
    # The whole part first: a product with the number itself would lose the microseconds of far dates.
    rest = np.rint((np.where(missing, 0.0, numbers) - whole) * _MICROSECONDS[step]).astype(np.int64)
    dates = origin + (whole.astype(np.int64) * _MICROSECONDS[step] + rest).astype("timedelta64[us]")
    return np.where(missing, np.datetime64("NaT", "us"), dates)


def _split(unit: str) -> tuple[str, np.datetime64]:
    match = _UNIT.match(unit)
    if not match:
        raise ValueError(f"{unit!r} is no unit of dates")
    return match["step"], np.datetime64(match["origin"].replace(" ", "T"), "us")
