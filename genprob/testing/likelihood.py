"""How well rows meet evidence: log p(evidence of a column | its value)."""

from __future__ import annotations

import numpy as np

from genprob.query.batch import LIKELIHOOD, NOISY, NOTHING, POINT, RANGE, SET, QueryBatch
from genprob.testing import normal


def log_likelihood(queries: QueryBatch, values: np.ndarray) -> np.ndarray:
    """Sum over the known columns of `values [Q or 1, n, width]`, as `[Q, n]`; -inf where a row misses the evidence.

    A point counts as met or not, so it is of use on categories, counts and cells only.
    """
    out = np.zeros((len(queries), values.shape[1]))
    for j in np.flatnonzero((queries.kind != NOTHING).any(0)):
        for kind in np.unique(queries.kind[:, j]):
            if kind == NOTHING:
                continue
            at = np.flatnonzero(queries.kind[:, j] == kind)
            x = values[at if len(values) > 1 else slice(None), :, j]
            out[at] += of_column(queries.take(at), int(j), x)
    return out


def of_column(queries: QueryBatch, j: int, x: np.ndarray) -> np.ndarray:
    """log p(evidence of column j | x) for `x [Q or 1, n]`; all queries know the same kind of it."""
    kind, cell = int(queries.kind[0, j]), queries.schema.columns[j].cell
    a, b = queries.a[:, j, None], queries.b[:, j, None]
    if kind == NOTHING:
        return np.zeros((len(queries), x.shape[1]))
    if kind == NOISY:
        return normal.log_density(a, x, b)
    with np.errstate(divide="ignore"):
        if kind in (SET, LIKELIHOOD) and j in queries.likelihoods:
            weight = np.log(queries.likelihoods[j])
            return np.take_along_axis(weight, np.broadcast_to(x, (len(weight), x.shape[1])).astype(int), 1)
        return np.log(_meets(kind, cell, a, b, queries.sets.get(j), x))


def _meets(kind: int, cell, a: np.ndarray, b: np.ndarray, chosen: np.ndarray | None, x: np.ndarray) -> np.ndarray:
    if kind == POINT:
        return x == (a if cell is None else cell.snap(a))
    if kind == RANGE:
        low, high = (a, b) if cell is None else cell.span(a, b)
        return (x >= low) & (x <= high)
    assert chosen is not None
    allowed = chosen if cell is None else cell.snap(chosen)
    return (x[..., None] == allowed[:, None]).any(-1)
