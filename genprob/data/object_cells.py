"""Columns that are already arrays (pandas, xarray, npz) in the few types that the rest of the data layer knows."""

from __future__ import annotations

import datetime
import decimal
import math
import numbers
import re
from typing import Any

import numpy as np

from genprob.data.codec import factorize, label
from genprob.data.origin import Origin
from genprob.data.text_cells import DATE, misfit_message, misfits
from genprob.errors import DataError

_SCALAR = (str, bytes, numbers.Real, np.number, np.bool_, decimal.Decimal)


def tidy(array: Any, name: str, origin: Origin, categorical: bool = False) -> np.ndarray:
    """Numbers and booleans as they are, dates as datetime64, labels as objects (`str`, None where missing or blank).

    Objects are read by what they hold: booleans, numbers, dates (as texts too, `2024-03-01`), strings, or arrays of
    one shape (stacked to `[row, *event]`). Masked cells become missing; durations become seconds. `categorical` says
    that the variable is known to hold labels. Raises `DataError` for types that are no data, and for numbers with a
    few stray strings.
    """
    if isinstance(array, np.ma.MaskedArray):
        array = _unmasked(array)
    array = np.asarray(array)
    kind = array.dtype.kind
    if kind in "biufM":
        return array
    if kind == "m":
        missing = np.isnat(array)
        return np.where(missing, np.nan, array.astype("timedelta64[us]").astype(np.int64) / 1e6)
    if kind in "USOT":
        return _objects(array.astype(object), name, origin, categorical)
    raise DataError(f"{origin.source}: variable {name!r} holds {array.dtype}, which is no number, label or date")


def nothing_known(array: np.ndarray) -> bool:
    """True if every cell of a tidy column is missing."""
    if array.dtype == object:
        return all(value is None for value in array.reshape(-1))
    if array.dtype.kind == "M":
        return bool(np.isnat(array).all())
    return array.dtype.kind == "f" and bool(np.isnan(array).all())


def _unmasked(array: Any) -> np.ndarray:
    if array.dtype.kind in "biuf":
        return array.astype(np.float64).filled(np.nan)
    if array.dtype.kind == "M":
        return array.filled(np.datetime64("NaT"))
    out = np.asarray(array.data, dtype=object)
    out[np.ma.getmaskarray(array)] = None
    return out


def _objects(array: np.ndarray, name: str, origin: Origin, categorical: bool) -> np.ndarray:
    try:
        codes, distinct = factorize(array)
    except TypeError:  # unhashable: lists, arrays
        return _stacked(array.reshape(-1), name, origin)
    values = [None if _missing(value) else value for value in distinct]
    types = {type(value) for value in values if value is not None}
    if not types:
        return np.full(array.shape, np.nan)
    if types == {tuple}:
        return _stacked(array.reshape(-1), name, origin)
    if all(issubclass(t, _SCALAR) and not issubclass(t, (str, bytes)) for t in types):
        numbers = _from_distinct(codes, [math.nan if value is None else float(value) for value in values], math.nan)
        whole = not np.isnan(numbers).any()
        if whole and all(issubclass(t, (bool, np.bool_)) for t in types):
            return numbers.astype(bool)
        integers = whole and all(issubclass(t, (int, np.integer)) for t in types)
        return array.astype(np.int64) if integers else numbers
    if all(issubclass(t, (datetime.date, np.datetime64)) for t in types):
        missing = np.datetime64("NaT", "us")
        return _from_distinct(
            codes, [missing if v is None else np.datetime64(_naive(v), "us") for v in values], missing
        )
    odd = [i for i, value in enumerate(values) if value is not None and not isinstance(value, _SCALAR)]
    if odd:
        at, kind = [int(i) for i in np.argwhere(codes == odd[0])[0]], type(values[odd[0]]).__name__
        raise DataError(
            f"{origin.source}: variable {name!r}, {origin.cell(at)}: an object of type {kind}, "
            "which is no number, label or date"
        )
    texts = [None if value is None else label(value) for value in values]
    if types == {str} and not categorical and all(re.match(DATE, t) for t in texts if t is not None):
        return _from_distinct(codes, _dates(texts, codes, array, name, origin), np.datetime64("NaT", "us"))
    if not categorical:
        _refuse_misfits(array, codes, texts, name, origin)
    return _from_distinct(codes, texts, None)


def _from_distinct(codes: np.ndarray, values: list[Any], missing: Any) -> np.ndarray:
    """Each cell's value from the distinct ones; the code -1 is missing."""
    table = np.array([*values, missing], dtype=object if missing is None else None)
    return table[codes]


def _dates(texts: list[str | None], codes: np.ndarray, array: np.ndarray, name: str, origin: Origin) -> list[Any]:
    """The dates that texts of their form spell. Raises `DataError` for days that no calendar has."""
    out = []
    for i, text in enumerate(texts):
        try:
            out.append(np.datetime64("NaT" if text is None else text.strip().removesuffix("Z"), "us"))
        except ValueError:
            raise DataError(misfit_message(name, codes == i, array, origin, "dates")) from None
    return out


def _refuse_misfits(array: np.ndarray, codes: np.ndarray, texts: list[str | None], name: str, origin: Origin) -> None:
    known = np.array([text is not None for text in texts] + [False])[codes]
    numbers = [None if text is None else _number(text) for text in texts]
    where = known & np.array([number is None for number in numbers] + [True])[codes]
    count, bad = int(known.sum()), int(where.sum())
    if bad and misfits(count, count - bad, len({number for number in numbers if number is not None})):
        raise DataError(misfit_message(name, where, array, origin, "numbers"))


def _stacked(flat: np.ndarray, name: str, origin: Origin) -> np.ndarray:
    """Arrays of one shape inside the cells, as `[row, *event]`."""
    known = np.array([not _missing(value) for value in flat], dtype=bool)
    try:
        arrays = [np.asarray(value, dtype=np.float64) for value in flat[known]]
    except (TypeError, ValueError):
        raise DataError(f"{origin.source}: variable {name!r} holds objects that are not arrays of numbers") from None
    rows = np.flatnonzero(known)
    for row, value in zip(rows, arrays, strict=True):
        if value.shape != arrays[0].shape:
            raise DataError(
                f"{origin.source}: variable {name!r}: {origin.row(int(row))} holds an array of shape {value.shape}, "
                f"{origin.row(int(rows[0]))} one of {arrays[0].shape}"
            )
    out = np.full((len(flat), *arrays[0].shape), np.nan)
    out[known] = arrays
    return out


def _missing(value: object) -> bool:
    if value is None or (isinstance(value, (str, bytes)) and not value.strip()):
        return True
    if isinstance(value, (float, np.floating, np.datetime64, np.timedelta64)):
        return bool(value != value)
    return type(value).__name__ in ("NAType", "NaTType")


def _naive(value: Any) -> Any:
    """Dates without a time zone, those that have one as UTC."""
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        return value.astimezone(datetime.UTC).replace(tzinfo=None)
    return value


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
