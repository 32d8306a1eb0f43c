"""Planting: queries whose truth is known, because rows were drawn first and then partly hidden.

Whatever is told of a row is told by a mechanism that does not look at the rest of it, so that the law of the row
given the evidence is exactly the conditional that a strategy claims to draw from.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from genprob.data.schema import Schema
from genprob.query.batch import LIKELIHOOD, NOISY, NOTHING, RANGE, SET, QueryBatch

KINDS = ("points", "ranges", "noisy")
"""Evidence of a planted query: values; values, intervals and sets by turns; values and noisy readings by turns."""

WIDTHS = (0.1, 0.3, 1.0, 3.0)
"""Widths of planted intervals and errors of planted readings, in standard deviations of the variable."""


def kind_of(queries: QueryBatch) -> list[str]:
    """Which of KINDS each query is like; `"nothing"` where nothing is given."""
    out = []
    for row in queries.kind:
        given = set(row.tolist()) - {NOTHING}
        if given & {NOISY, LIKELIHOOD}:
            out.append("noisy")
        elif given & {RANGE, SET}:
            out.append("ranges")
        else:
            out.append("points" if given else "nothing")
    return out


def share_of(queries: QueryBatch) -> np.ndarray:
    """Share of the variables of which each query gives something, `[Q]`."""
    schema = queries.schema
    given = np.stack([(queries.kind[:, schema.slices[v.name]] != NOTHING).any(1) for v in schema], 1)
    return given.mean(1)


def masks(schema: Schema, rows: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """`[rows, width]` bool, True where given: each variable with probability `share`, at least one and not all.

    Of an array variable that is given, a random part is (each cell with probability one half).
    """
    variables = len(schema)
    given = rng.random((rows, variables)) < share
    order = rng.permuted(np.tile(np.arange(variables), (rows, 1)), axis=1)
    row = np.arange(rows)
    none, every = ~given.any(1), given.all(1)
    given[row[none], order[none, 0]] = True
    if variables > 1:
        given[row[every], order[every, 0]] = False
    out = np.repeat(given, [v.size for v in schema], axis=1)
    for v in schema:
        if v.size > 1 or variables == 1:
            part = out[:, schema.slices[v.name]]
            part &= rng.random(part.shape) < 0.5
    return out


def plant(schema: Schema, rows: np.ndarray, given: np.ndarray, kind: str, rng: np.random.Generator) -> QueryBatch:
    """Queries that tell the `given [n, width]` cells of `rows [n, width]` in one of KINDS and ask the rest.

    A cell that is missing in `rows` is neither given nor asked.
    """
    known = ~np.isnan(rows)
    batch = QueryBatch.from_values(schema, np.where(given, rows, np.nan))
    batch = replace(batch, asked=~given & known, names=())
    if kind == "points":
        return batch
    scale = np.nanstd(rows, axis=0)
    for j, variable in enumerate(schema.columns):
        if variable.size > 1:
            continue
        told = np.flatnonzero(given[:, j] & known[:, j] & (rng.random(len(rows)) < 0.5))
        if not len(told):
            continue
        x = rows[told, j]
        width = rng.choice(WIDTHS, len(told)) * max(float(scale[j]), 1e-9)
        if kind == "noisy":
            _tell_noisily(batch, j, told, x, width, rng)
        elif variable.cardinality is not None:
            _tell_set(batch, j, told, x, rng)
        else:
            if variable.is_count:
                width = np.ceil(width)
                low = x - rng.integers(0, width + 1)
            else:
                low = x - rng.random(len(told)) * width
            batch.kind[told, j] = RANGE
            batch.a[told, j], batch.b[told, j] = low, low + width
    return batch


def _tell_set(batch: QueryBatch, j: int, told: np.ndarray, x: np.ndarray, rng: np.random.Generator) -> None:
    """Splits the levels in two at random and tells the part that holds the truth."""
    levels = batch.schema.columns[j].cardinality or 0
    side = rng.random((len(told), levels)) < 0.5
    mine = side[np.arange(len(told)), x.astype(int)]
    weights = batch.likelihoods.setdefault(j, np.ones((len(batch), levels)))
    weights[told] = side == mine[:, None]
    batch.kind[told, j] = SET


def _tell_noisily(
    batch: QueryBatch, j: int, told: np.ndarray, x: np.ndarray, width: np.ndarray, rng: np.random.Generator
) -> None:
    """Tells a reading of known error, or the likelihood of a label that is misread one time in three."""
    levels = batch.schema.columns[j].cardinality
    if levels is None:
        batch.kind[told, j] = NOISY
        batch.a[told, j], batch.b[told, j] = x + width * rng.standard_normal(len(told)), width
        return
    misread = rng.random(len(told)) < 1 / 3
    seen = np.where(misread, rng.integers(0, levels, len(told)), x.astype(int))
    weights = batch.likelihoods.setdefault(j, np.ones((len(batch), levels)))
    weights[told] = 1 / (3 * levels) + (2 / 3) * (np.arange(levels) == seen[:, None])
    batch.kind[told, j] = LIKELIHOOD
