"""Rows as points: scales of numbers, labels as unit vectors, so that variables of all kinds can be compared."""

from __future__ import annotations

import numpy as np

from genprob.data.schema import Schema


def numeric(schema: Schema) -> np.ndarray:
    """`[width]` bool: reals and counts, which have distances; labels and binaries have none."""
    return np.array([v.cardinality is None for v in schema.columns])


def deviations(values: np.ndarray) -> np.ndarray:
    """Standard deviation of each column's known cells `[width]`; 1 where it is constant or unknown."""
    sd = np.ones(values.shape[1])
    for j, column in enumerate(values.T):
        known = column[~np.isnan(column)]
        if known.size > 1 and known.std(ddof=1) > 0:
            sd[j] = known.std(ddof=1)
    return sd


def points(schema: Schema, values: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Rows `[row, width]` as points: numbers over `sd`, a label as a unit vector over root 2, holes NaN.

    The squared distance of two rows is the sum of squared differences in sd plus the number of labels that differ.
    """
    parts = []
    for j, variable in enumerate(schema.columns):
        column = values[:, j : j + 1]
        if variable.cardinality is None:
            parts.append(column / sd[j])
        else:
            one = (column == np.arange(variable.cardinality)) / np.sqrt(2)
            parts.append(np.where(np.isnan(column), np.nan, one))
    return np.concatenate(parts, axis=1)


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Euclidean distances `[a, b]` of points over the coordinates known of both, scaled up to all coordinates.

    NaN where two points have no known coordinate in common.
    """
    known_a, known_b = ~np.isnan(a), ~np.isnan(b)
    if known_a.all() and known_b.all():
        return np.sqrt(_squares(a, b))
    full_a, full_b, m_a, m_b = np.nan_to_num(a), np.nan_to_num(b), known_a.astype(float), known_b.astype(float)
    common = m_a @ m_b.T
    total = (full_a**2) @ m_b.T + m_a @ (full_b**2).T - 2 * full_a @ full_b.T
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(common > 0, np.sqrt(np.maximum(total, 0.0) * a.shape[1] / common), np.nan)


def _squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T, 0.0)
