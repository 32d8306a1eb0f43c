"""Coordinates: the labels along the event dimensions of arrays, as the schema keeps them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from genprob.errors import DataError, UsageError

if TYPE_CHECKING:
    import xarray as xr

Label = int | float | str | datetime


def coordinates(ds: xr.Dataset, dims: Iterable[str]) -> tuple[tuple[str, tuple[Label, ...]], ...]:
    """The labels of those dims that have some: numbers, texts or dates, each dim's in order; others have none.

    >>> import xarray as xr
    >>> coordinates(xr.Dataset({"x": (("row", "y"), [[1.0, 2.0]])}, coords={"y": [0.5, 1.5]}), ["y"])
    (('y', (0.5, 1.5)),)
    """
    found = ((dim, _labels(ds.coords[dim].values)) for dim in dict.fromkeys(dims) if dim in ds.coords)
    return tuple((dim, labels) for dim, labels in found if labels)


def as_array(labels: Sequence[Label]) -> np.ndarray:
    """Labels as one array: integers, floats, texts, or dates to the microsecond."""
    if isinstance(labels[0], datetime):
        return np.array(labels, dtype="datetime64[us]")
    return np.array(labels)


def in_order(data: xr.DataArray, known: dict[str, np.ndarray], source: str) -> xr.DataArray:
    """Data in the order of the labels that are `known` of its dims; labels that it lacks are no reason to stop.

    Raises `DataError` naming dim and label where the data's labels are others.
    """
    for dim in [str(d) for d in data.dims if d in known and d in data.coords]:
        wanted, labels = known[dim].tolist(), as_array(_labels(data.coords[dim].values) or (0,)).tolist()
        if len(labels) != len(wanted) or _same(labels, wanted):
            continue  # a wrong size is said with the shape
        place = {label: i for i, label in enumerate(labels)}
        strange = [label for label in wanted if label not in place]
        if strange:
            raise DataError(
                f"{source} has no place {strange[0]} along dim {dim!r}, where the "
                f"schema has one; the data's begin with {', '.join(map(str, labels[:3]))}"
            )
        data = data.isel({dim: [place[label] for label in wanted]})
    return data


def placed(value: Any, dims: tuple[str, ...], known: dict[str, np.ndarray], source: str) -> Any:
    """A given value in the order of `dims` and of their labels, where it is an `xarray.DataArray` that tells its own.

    Raises `UsageError` naming dim and label where these are others.
    """
    if not hasattr(value, "isel") or {*map(str, value.dims)} != {*dims}:
        return value
    try:
        return in_order(value, known, source).transpose(*dims).values
    except DataError as error:
        raise UsageError(str(error)) from None


def _labels(values: np.ndarray) -> tuple[Label, ...]:
    """Empty for what cannot be kept: missing labels, tuples, spans of time."""
    if values.dtype.kind == "M":
        return () if np.isnat(values).any() else tuple(values.astype("datetime64[us]").tolist())
    if values.dtype.kind in "iuf":
        return tuple(values.tolist()) if np.isfinite(values).all() else ()
    texts = tuple(values.tolist())
    return tuple(map(str, texts)) if all(isinstance(text, str) for text in texts) else ()


def _same(labels: list[Label], wanted: list[Label]) -> bool:
    if labels == wanted:
        return True
    numbers = all(isinstance(label, (int, float)) for label in (*labels, *wanted))
    return numbers and bool(np.allclose(np.array(labels, float), np.array(wanted, float), rtol=1e-6, atol=0.0))
