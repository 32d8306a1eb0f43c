"""What a metric returns: scores with their errors, units and kinds, and the numbers per row that they average."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

Better = Literal["higher", "lower", "nearer", "p-value"]
"""What a good joint's score is: larger, smaller, near its ideal; a small p-value is evidence against the joint."""


@dataclass(frozen=True, eq=False)
class Score:
    """One figure of merit.

    Attributes:
        name: `crps`.
        value: over `dims`, a scalar without any.
        error: its standard error, NaN where there is none.
        n: the number of rows or cells behind it.
        units: `nats per row`, `sd`, ...
        better: which direction is good.
        ideal: what a perfect joint scores, NaN where that is not known.
        kind: `exact`, `lower_bound`, `upper_bound` or `estimate`.
        measure: what log-probabilities are relative to; empty for other scores.
        dims: names of the dimensions, whose labels are in `Result.coords`.
        cells: `[row]` or `[row, cell]`, what the value is the mean of, NaN where there is nothing; None where it is
            not a mean over rows.
    """

    name: str
    value: np.ndarray
    error: np.ndarray
    n: np.ndarray
    units: str
    better: Better
    ideal: float = float("nan")
    kind: str = "estimate"
    measure: str = ""
    dims: tuple[str, ...] = ()
    cells: np.ndarray | None = None

    @property
    def aim(self) -> str:
        """The direction in words: `lower`, `near 0.8`, `small speaks against it`."""
        if self.better == "nearer":
            return f"near {self.ideal:g}"
        return "small speaks against it" if self.better == "p-value" else self.better


@dataclass(frozen=True, eq=False)
class Result:
    """Everything that one metric found.

    Attributes:
        scores: the headline first.
        coords: labels along the dimensions of scores and details.
        rows: positions of the data's rows that `cells` and details go along; None for all.
        details: name -> (dims, values), more than numbers to print; `row` is the dimension of `rows`.
        attrs: what else is to be said, as text or numbers.
    """

    scores: tuple[Score, ...]
    coords: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    rows: np.ndarray | None = None
    details: Mapping[str, tuple[tuple[str, ...], np.ndarray]] = field(default_factory=dict)
    attrs: Mapping[str, str | float | int] = field(default_factory=dict)


def clustered_mean(cells: np.ndarray) -> tuple[float, float, int]:
    """Mean of the known entries of `[row, ...]`, its standard error, and their number.

    Rows are independent, the cells of one row are not: the error is that of a ratio of row totals.

    >>> clustered_mean(np.array([[1.0, np.nan], [3.0, 3.0], [2.0, 2.0]]))
    (2.2, 0.4995998398718718, 5)
    """
    cells = by_row(cells)
    number = (~np.isnan(cells)).sum(1)
    total = np.nansum(cells, 1)
    n, rows = int(number.sum()), int((number > 0).sum())
    if not n:
        return float("nan"), float("nan"), 0
    mean = float(total.sum() / n)
    if rows < 2 or not np.isfinite(mean):
        return mean, float("nan"), n
    residual = total - mean * number
    return mean, float(np.sqrt((residual**2).sum() * rows / (rows - 1)) / n), n


def by_row(cells: np.ndarray) -> np.ndarray:
    """Numbers of rows as `[row, cell]`, also where there is no row."""
    return cells.reshape(len(cells), int(np.prod(cells.shape[1:])))


def averaged(name: str, cells: np.ndarray, **about: Any) -> Score:
    """The score that is the mean of `[row, ...]` numbers; `about` are the other attributes of `Score`."""
    mean, error, n = clustered_mean(cells)
    return Score(name, np.array(mean), np.array(error), np.array(n), cells=cells, **about)


def grouped(name: str, dim: str, parts: Sequence[np.ndarray], **about: Any) -> Score:
    """Means of several groups of `[row, ...]` numbers along a dimension."""
    value, error, n = (np.array(x) for x in zip(*map(clustered_mean, parts), strict=True))
    return Score(name, value, error, n, dims=(dim,), **about)
