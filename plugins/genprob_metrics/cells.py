"""Cells of the space of rows, between which a chain moves: the labels of a column, or clusters of rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from genprob.data.schema import Schema
from genprob.data.support import Categorical
from genprob.errors import DataError, UsageError
from genprob.metrics.scale import deviations, points
from genprob.plugins import near


@dataclass(frozen=True, eq=False)
class Cells:
    """A classifier of rows.

    Attributes:
        names: of the cells.
        of: `[row, width]` to `[row]`, the number of each row's cell.
        share: `[cell]` of the rows that were seen.
        about: what told the cells apart, in words.
    """

    names: tuple[str, ...]
    of: Callable[[np.ndarray], np.ndarray]
    share: np.ndarray
    about: str


def label_of(schema: Schema, label: str | None) -> str | None:
    """The column whose values are the cells: the one named, else the only categorical scalar; None for clusters.

    Raises `UsageError` for one without labels.
    """
    kinds = {v.name: v.support for v in schema if v.cardinality is not None and not v.shape}
    if label is None or label == "none":
        found = [name for name, support in kinds.items() if isinstance(support, Categorical)]
        return found[0] if len(found) == 1 and label is None else None
    if label not in kinds:
        raise UsageError(f"label={label!r} is no column of categories or binaries; {near(label, kinds)}")
    return label


def labelled(schema: Schema, values: np.ndarray, label: str) -> Cells:
    """The levels of a column; `share` is that of its known cells in `values`."""
    j = schema.slices[label].start
    variable = schema.columns[j]
    assert variable.cardinality is not None
    levels = getattr(variable.support, "levels", None) or tuple(range(variable.cardinality))
    known = values[~np.isnan(values[:, j]), j].astype(int)
    count = np.bincount(known, minlength=variable.cardinality)
    share = count / max(1, count.sum())
    return Cells(tuple(map(str, levels)), lambda rows: rows[:, j].astype(int), share, f"the labels of {label!r}")


def clustered(coordinates: Callable[[np.ndarray], np.ndarray], values: np.ndarray, number: int, seed: int) -> Cells:
    """Clusters by k-means of the complete rows of `values`, told apart by their `coordinates`.

    Raises `DataError` where there are fewer different rows than clusters.
    """
    from sklearn.cluster import KMeans

    at = coordinates(values[~np.isnan(values).any(1)])
    if len(np.unique(at, axis=0)) < number:
        raise DataError(f"{len(np.unique(at, axis=0))} different rows without holes; {number} cells need as many")
    found: Any = KMeans(number, random_state=seed).fit(at)
    share = np.bincount(found.labels_, minlength=number) / len(at)
    order = np.argsort(-share, kind="stable")
    rank = np.argsort(order)
    names = tuple(f"cluster {k + 1}" for k in range(number))
    return Cells(names, lambda rows: rank[found.predict(coordinates(rows))], share[order], f"{number} clusters of rows")


def standardised(schema: Schema, values: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Rows as points in standard deviations of `values`, labels as unit vectors."""
    sd = deviations(values)
    return lambda rows: points(schema, rows, sd)
