"""The likelihood of whole rows under evidence: what rejection accepts by and claimed evidences are checked with."""

from __future__ import annotations

import numpy as np

from genprob.query.batch import LIKELIHOOD, NOISY, NOTHING, POINT, RANGE, SET, QueryBatch


def log_ceiling(queries: QueryBatch, q: int) -> float:
    """log of the largest likelihood that any row can have under query q; 0 without noisy readings and likelihoods."""
    noisy = queries.kind[q] == NOISY
    out = -float(np.log(np.sqrt(2 * np.pi) * queries.b[q, noisy]).sum())
    for j in np.flatnonzero(queries.kind[q] == LIKELIHOOD).tolist():
        out += float(np.log(queries.likelihoods[j][q].max()))
    return out


def log_likelihood(queries: QueryBatch, q: int, rows: np.ndarray) -> np.ndarray:
    """log p(evidence of query q | row) of `rows [n, width]` relative to `log_ceiling`: 0 at best, -inf where missed."""
    out = np.zeros(len(rows))
    for j in np.flatnonzero(queries.kind[q] != NOTHING).tolist():
        x, kind, a, b = rows[:, j], queries.kind[q, j], queries.a[q, j], queries.b[q, j]
        cell = queries.schema.columns[j].cell
        if kind == POINT:
            out[x != (a if cell is None else cell.snap(a))] = -np.inf
        elif kind == RANGE:
            if cell is not None:  # a value counts by its cell, whatever the last digits of the ends
                a, b = cell.span(a, b)
            out[(x < a) | (x > b)] = -np.inf
        elif kind == NOISY:
            out -= 0.5 * ((x - a) / b) ** 2
        elif kind in (SET, LIKELIHOOD) and j in queries.likelihoods:
            weight = queries.likelihoods[j][q]
            with np.errstate(divide="ignore"):
                out += np.log(weight / weight.max())[x.astype(int)]
        else:
            allowed = queries.sets[j][q]
            out[~np.isin(x, allowed if cell is None else cell.snap(allowed))] = -np.inf
    return out
