"""Where cells came from: how messages name a file, a row and a cell."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

FIRST_LINE = "first_line"  # attribute of a data set being read from text: the line of row 0, where rows are lines
MANY = 3  # cells named in one message


@dataclass(frozen=True)
class Origin:
    """A source of rows and how it names them.

    Arguments:
        source: file name, or a word such as `data`.
        row: from position along the sample dimension to the words of a message, e.g. `line 19`.
    """

    source: str
    row: Callable[[int], str] = lambda position: f"row {position}"

    def cell(self, position: Sequence[int]) -> str:
        """Names a cell by its index along `[row, *event]`."""
        row, *event = (int(i) for i in position)
        return self.row(row) + (f" at {event}" if event else "")

    def cells(self, where: np.ndarray, values: np.ndarray) -> str:
        """Names the first few cells of a boolean mask with their values, and counts the rest."""
        found = np.argwhere(where)
        named = [f"{self.cell(at)}: {plain(values[tuple(at)])}" for at in found[:MANY]]
        more = f" and {len(found) - MANY} more" if len(found) > MANY else ""
        return ", ".join(named) + more


def of_dataset(ds: xr.Dataset, dim: Hashable, source: str | None = None) -> Origin:
    """How messages name the rows of a data set: by its coordinate where there is one, and by line where known."""
    name = source or str(ds.attrs.get("source", "data"))
    first = ds.attrs.get(FIRST_LINE)
    labels = ds.coords[dim].values if dim in ds.coords else None

    def row(position: int) -> str:
        label = f"row {position}" if labels is None else f"row {plain(labels[position])}"
        return label if first is None else f"{label} (line {int(first) + position})"

    return Origin(name, row)


def plain(value: object) -> str:
    """A value as messages show it: strings quoted, numbers bare.

    >>> plain("a"), plain(np.float64(0.1)), plain(np.int64(3))
    ("'a'", '0.1', '3')
    """
    if isinstance(value, str):
        return repr(str(value))
    if isinstance(value, float):
        return f"{float(value):.15g}"
    return str(value)
