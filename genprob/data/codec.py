"""One variable's values, both ways: labels, integers, reals and dates in tables; float64 numbers in models.

Categories become codes, dates become counts of their unit, missing cells NaN. `column` converts a column of data
and names bad rows; `encode` converts one value that a user gave as evidence; `decode` goes back.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from genprob.data import dates
from genprob.data.coordinates import placed
from genprob.data.origin import Origin, plain
from genprob.data.schema import Schema, Variable
from genprob.data.support import Binary, Categorical, Count, Interval
from genprob.errors import DataError, UsageError

_EXACT = 2**53  # integers beyond it are not float64 values
OFF_GRID = 1e-6  # of a cell's width: nearer values are the table's own, written with noise in the last digits
_TRUTH = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True)
class Fault:
    """Cells that a variable cannot hold, and why."""

    where: np.ndarray
    reason: str


def label(value: object) -> str:
    """The label of a category that the data hold as any type; whole numbers without a decimal point.

    >>> label("a"), label(1.0), label(np.int8(2)), label(True)
    ('a', '1', '2', 'True')
    """
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, (float, np.floating)):
        return str(int(value)) if float(value).is_integer() else repr(float(value))
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)


def labels(array: np.ndarray) -> np.ndarray:
    """Labels of an array of any type, as an object array of `str`; None where missing or blank."""
    codes, distinct = factorize(array)
    names = [label(value) for value in distinct]
    table = np.array([*(name if name.strip() else None for name in names), None], dtype=object)
    return table[codes]


def column(variable: Variable, array: np.ndarray, origin: Origin, strict: bool = True) -> tuple[np.ndarray, list[str]]:
    """Numbers of a column `[row, *event]`, NaN where missing, and notes on what was changed.

    Raises `DataError` naming the variable, the first bad rows and their values; with `strict=False` bad cells become
    missing and a note says so.
    """
    numbers, faults = _numbers(variable, array)
    notes: list[str] = []
    for fault in faults:
        text = f"variable {variable.name!r}: {origin.cells(fault.where, array)}: {fault.reason}"
        if strict:
            raise DataError(f"{origin.source}: {text}")
        notes.append(f"{text}; taken as missing")
        numbers[fault.where] = np.nan
    if variable.cell is not None:
        snapped = variable.cell.snap(numbers)
        if array.dtype == np.float32:  # the nearest float32 to a table value stands for it
            near = np.abs(numbers - snapped) <= np.spacing(np.abs(array)).astype(np.float64)
            numbers = np.where(near, snapped, numbers)
        off = np.abs(numbers - snapped) > OFF_GRID * variable.cell.delta
        if off.any():
            notes.append(
                f"variable {variable.name!r}: {int(off.sum())} values off the grid {variable.cell.text()} were moved "
                f"onto it ({origin.cells(off, numbers)})"
            )
            numbers = np.where(off, snapped, numbers)
    return numbers, notes


def encode(schema: Schema, name: str, value: Any, *, inside: bool = True, missing: bool = False) -> np.ndarray:
    """One value that a user gave for a variable, as flat float64 numbers `[size]`.

    Arguments:
        schema: where the variable is looked up.
        name: the variable.
        value: a label, a number, a date (string, `datetime`, `datetime64`), or an array of the event's shape.
        inside: refuse values outside the support; False for the ends of a range.
        missing: let NaN stand for unknown cells of an array.

    Raises `UsageError` naming the variable and what would do.

    >>> from genprob.data.support import Categorical
    >>> encode(Schema((Variable("g", Categorical(("a", "b"))),)), "g", "b")
    array([1.])
    """
    variable = schema[name]
    array = _as_array(placed(value, variable.dims, schema.labels, f"variable {name!r}: the given value"))
    if array.shape != variable.shape:
        raise UsageError(
            f"variable {name!r} has the shape {variable.shape}, the given value {array.shape}; "
            f"give {'a single value' if not variable.shape else 'an array of its shape'}"
        )
    numbers, faults = _numbers(variable, array, inside=inside)
    for fault in faults:
        shown = plain(array[tuple(np.argwhere(fault.where)[0])] if array.shape else array[()])
        raise UsageError(f"variable {name!r}: {shown}: {fault.reason}")
    if not missing and np.isnan(numbers).any():
        cure = "use Masked(array, mask)" if variable.shape else "leave it out of what is given"
        raise UsageError(f"variable {name!r}: the given value is missing; {cure}")
    return numbers.reshape(variable.size)


def decode(schema: Schema, name: str, array: np.ndarray) -> np.ndarray:
    """A variable's numbers, of any shape, as the data would hold them; the shape is kept.

    Categories become labels (object `str`, None where NaN), counts and binaries int64 (float64 if any is NaN), dates
    `datetime64[us]`, other reals float64, on cells the exact table value.

    >>> from genprob.data.support import Categorical
    >>> decode(Schema((Variable("g", Categorical(("a", "b"))),)), "g", np.array([[1.0, 0.0]])).tolist()
    [['b', 'a']]
    """
    variable = schema[name]
    numbers = np.asarray(array, dtype=np.float64)
    missing = np.isnan(numbers)
    if isinstance(variable.support, Categorical):
        levels = variable.support.levels
        codes = np.where(missing, len(levels), np.rint(numbers)).astype(np.int64)
        if ((codes < 0) | (codes > len(levels))).any():
            raise ValueError(f"variable {name!r}: codes {codes.min()}..{codes.max()} for {len(levels)} levels")
        return np.array([*levels, None], dtype=object)[codes]
    if isinstance(variable.support, (Binary, Count)):
        whole = np.rint(numbers)
        return whole if missing.any() else whole.astype(np.int64)
    if variable.cell is not None:
        numbers = variable.cell.snap(numbers)
    if variable.unit and dates.is_date(variable):
        return dates.to_dates(numbers, variable.unit)
    return numbers


def _numbers(variable: Variable, array: np.ndarray, inside: bool = True) -> tuple[np.ndarray, list[Fault]]:
    """Numbers of the array's shape and the faults found; a fault's cells hold what could be made of them."""
    if isinstance(variable.support, Categorical):
        return _codes(variable.support, array)
    if variable.unit and dates.is_date(variable):
        return _date_numbers(variable.unit, array)
    numbers, faults = _reals(variable, array)
    if faults:
        return numbers, faults
    known = ~np.isnan(numbers)
    if inside:
        bad = known & ~variable.support.contains(numbers)
        if bad.any():
            return numbers, [Fault(bad, _outside(variable, bool(np.isinf(numbers[bad]).any())))]
    return numbers, []


def _codes(support: Categorical, array: np.ndarray) -> tuple[np.ndarray, list[Fault]]:
    codes, distinct = factorize(array)
    known = {level: float(code) for code, level in enumerate(support.levels)}
    # A level that reads as a number is also found under its other spellings: "1" for 1.0, "2.50" for 2.5.
    values = {number: code for level, code in known.items() if (number := _float(level)) is not None}
    table: list[float] = []
    unseen: list[str] = []
    for value in distinct:
        text = label(value)
        code = known.get(text)
        if code is None:
            number = _float(text)
            code = None if number is None else values.get(number)
        if code is None and not text.strip():
            code = math.nan
        if code is None:
            unseen.append(text)
        table.append(-1.0 if code is None else code)
    numbers = np.array([*table, math.nan])[codes]
    if not unseen:
        return numbers, []
    near = difflib.get_close_matches(unseen[0], support.levels, n=3)
    listed = ", ".join(support.levels[:20]) + (", ..." if len(support.levels) > 20 else "")
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
    return numbers, [Fault(numbers == -1.0, f"not one of the levels {listed}{hint}")]


def _date_numbers(unit: str, array: np.ndarray) -> tuple[np.ndarray, list[Fault]]:
    if array.dtype.kind == "M":
        return dates.to_numbers(array, unit), []
    if array.dtype.kind in "biuf":
        return array.astype(np.float64), []

    def number(value: object) -> float | None:
        if isinstance(value, (int, float, np.number)):
            return float(value)
        try:
            return float(dates.to_numbers(np.array([value], dtype="datetime64[us]"), unit)[0])
        except (ValueError, TypeError):
            return None

    return _each(array, number, "not a date such as 2026-01-31 or 2026-01-31T12:00")


def _reals(variable: Variable, array: np.ndarray) -> tuple[np.ndarray, list[Fault]]:
    if array.dtype.kind in "biuf":
        numbers = array.astype(np.float64)
        if array.dtype.kind in "iu" and array.dtype.itemsize == 8:
            large = (array > _EXACT) | (array < -_EXACT)
            if large.any():
                return numbers, [Fault(large, "beyond 2**53, where float64 is inexact; if it is an id, ignore it")]
        return numbers, []
    if array.dtype.kind == "M":
        return np.full(array.shape, np.nan), [
            Fault(~np.isnat(array), f'dates, but its unit is {variable.unit!r}; write unit = "{dates.DAYS}"')
        ]
    if array.dtype.kind == "c":
        return np.full(array.shape, np.nan), [Fault(np.ones(array.shape, bool), "complex numbers are not supported")]
    truth = _TRUTH if isinstance(variable.support, Binary) else {}

    def number(value: object) -> float | None:
        text = label(value).strip()
        found = truth.get(text.lower())
        return _float(text) if found is None else found

    return _each(array, number, f"not a number, but the support is {variable.support.kind}")


def _each(array: np.ndarray, number: Callable[[object], float | None], reason: str) -> tuple[np.ndarray, list[Fault]]:
    """Converts each distinct value once; blanks are missing, values that `number` refuses are a fault."""
    codes, distinct = factorize(array)
    bad = np.zeros(len(distinct) + 1, dtype=bool)
    table = np.full(len(distinct) + 1, np.nan)
    for i, value in enumerate(distinct):
        found = number(value)
        if found is not None:
            table[i] = found
        else:
            bad[i] = not (isinstance(value, (str, bytes)) and not value.strip())
    where = bad[codes]
    return table[codes], [Fault(where, reason)] if where.any() else []


def _outside(variable: Variable, infinite: bool) -> str:
    if infinite:
        return "not finite; correct it or leave the cell blank"
    support = variable.support
    if isinstance(support, Interval):
        return f"outside {support.text()}, whose ends are not included; correct it or widen the interval"
    if isinstance(support, Binary):
        return "not 0 or 1; if it has more values, say categorical or count"
    wanted = {"positive": "above zero", "count": "a whole number from 0"}.get(support.kind, "a finite number")
    return f"not {wanted}, as its support {support.text()} demands; correct it or state another support"


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _as_array(value: Any) -> np.ndarray:
    """A user's value as an array; strings and dates as objects, so that they are read by the variable's support."""
    array = np.asarray(value)
    if array.dtype.kind in "USO" or array.dtype.names:
        array = np.asarray(value, dtype=object)
    return array


def factorize(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes of the array's shape into its distinct values; -1 (the last of any table with one more entry) if missing.

    Raises `TypeError` for objects that cannot be hashed.
    """
    import pandas as pd

    flat = array.reshape(-1)
    if flat.dtype.kind in "US":
        flat = flat.astype(object)
    codes, distinct = pd.factorize(flat)
    return np.asarray(codes).reshape(array.shape), np.asarray(distinct, dtype=object)
