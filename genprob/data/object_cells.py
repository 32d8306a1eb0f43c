"""Columns that are already arrays (pandas, xarray, npz) in the few types that the rest of the data layer knows."""

from __future__ import annotations

import datetime
import decimal
import numbers
from typing import Any

import numpy as np

from genprob.data.codec import label, labels
from genprob.data.origin import Origin
from genprob.data.text_cells import misfit_message, misfits
from genprob.errors import DataError


def tidy(array: Any, name: str, origin: Origin, categorical: bool = False) -> np.ndarray:
    """Numbers and booleans as they are, dates as datetime64, labels as objects (`str`, None where missing or blank).

    Objects are read by what they hold: booleans, numbers, dates, strings, or arrays of one shape (stacked to
    `[row, *event]`). Masked cells become missing; durations become seconds. `categorical` says that the variable is
    known to hold labels. Raises `DataError` for types that are no data, and for numbers with a few stray strings.
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
    return array.filled(np.datetime64("NaT")) if array.dtype.kind == "M" else array.astype(object).filled(None)


def _objects(array: np.ndarray, name: str, origin: Origin, categorical: bool) -> np.ndarray:
    flat = array.reshape(-1)
    known = np.array([not _missing(value) for value in flat], dtype=bool)
    types = {type(value) for value in flat[known]}
    if not types:
        return np.full(array.shape, np.nan)
    if all(issubclass(t, (str, bytes)) for t in types):
        return _labels(array, known.reshape(array.shape), name, origin, categorical)
    if all(issubclass(t, (bool, np.bool_)) for t in types):
        return array.astype(bool) if known.all() else _reals(flat, known).reshape(array.shape)
    if all(issubclass(t, (numbers.Real, np.number, bool, np.bool_, decimal.Decimal)) for t in types):
        if known.all() and all(issubclass(t, (int, np.integer)) for t in types):
            return array.astype(np.int64)
        return _reals(flat, known).reshape(array.shape)
    if all(issubclass(t, (datetime.date, np.datetime64)) for t in types):
        dates = np.full(flat.shape, np.datetime64("NaT"), dtype="datetime64[us]")
        dates[known] = [np.datetime64(_naive(value), "us") for value in flat[known]]
        return dates.reshape(array.shape)
    if all(issubclass(t, (list, tuple, np.ndarray)) for t in types):
        return _stacked(flat, known, name, origin)
    scalar = (str, bytes, numbers.Real, np.number, np.bool_, decimal.Decimal)
    odd = [i for i, value in enumerate(flat) if known[i] and not isinstance(value, scalar)]
    if odd:
        at = [int(i) for i in np.unravel_index(odd[0], array.shape)]
        raise DataError(
            f"{origin.source}: variable {name!r}, {origin.cell(at)}: an object of type {type(flat[odd[0]]).__name__}, "
            "which is no number, label or date"
        )
    return _labels(array, known.reshape(array.shape), name, origin, categorical)


def _labels(array: np.ndarray, known: np.ndarray, name: str, origin: Origin, categorical: bool) -> np.ndarray:
    texts = labels(array)
    if not categorical:
        values = {value: _number(label(value)) for value in set(array[known].tolist())}
        where = np.array([k and values[v] is None for v, k in zip(array.reshape(-1), known.reshape(-1), strict=True)])
        distinct = len({number for number in values.values() if number is not None})
        count = int(known.sum())
        if where.any() and misfits(count, count - int(where.sum()), distinct):
            raise DataError(misfit_message(name, where.reshape(array.shape), array, origin, "numbers"))
    return texts


def _reals(flat: np.ndarray, known: np.ndarray) -> np.ndarray:
    out = np.full(flat.shape, np.nan)
    out[known] = [float(value) for value in flat[known]]
    return out


def _stacked(flat: np.ndarray, known: np.ndarray, name: str, origin: Origin) -> np.ndarray:
    arrays = [np.asarray(value, dtype=np.float64) for value in flat[known]]
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
