"""The states that evidence leaves of cells that take finitely many values, numbered in mixed radix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from genprob.query.batch import LIKELIHOOD, POINT, RANGE, SET, QueryBatch


def sizes(queries: QueryBatch) -> np.ndarray:
    """How many values the evidence leaves of each cell, `[Q, width]`; inf where they cannot be listed."""
    out = np.full(queries.kind.shape, np.inf)
    for j, variable in enumerate(queries.schema.columns):
        kind = queries.kind[:, j]
        if variable.cardinality is not None:
            out[:, j] = variable.cardinality
        elif variable.is_count or variable.cell is not None:
            first, last = _ends(queries, j)
            out[:, j] = np.where(kind == RANGE, np.maximum(last - first + 1, 0.0), np.inf)
            if j in queries.sets:
                out[:, j] = np.where(kind == SET, (~np.isnan(queries.sets[j])).sum(1), out[:, j])
        out[kind == POINT, j] = 1.0
    return out


def _ends(queries: QueryBatch, j: int) -> tuple[np.ndarray, np.ndarray]:
    """The first and last value of a count, or index of a cell, within an interval."""
    cell = queries.schema.columns[j].cell
    with np.errstate(invalid="ignore"):
        if cell is None:
            return np.maximum(np.ceil(queries.a[:, j]), 0.0), np.floor(queries.b[:, j])
        below, above = cell.span(queries.a[:, j], queries.b[:, j])
        return (below - cell.offset) / cell.delta + 0.5, (above - cell.offset) / cell.delta - 0.5


def listed(queries: QueryBatch, j: int) -> tuple[np.ndarray, np.ndarray]:
    """The values `[Q, m]` that are left of a cell and the log-likelihoods of the evidence; NaN and -inf pad.

    Every query leaves finitely many.
    """
    variable, kind = queries.schema.columns[j], queries.kind[:, j]
    if variable.cardinality is not None:
        values = np.tile(np.arange(variable.cardinality, dtype=np.float64), (len(queries), 1))
        log_likelihood = np.zeros_like(values)
        told = np.isin(kind, (SET, LIKELIHOOD))
        if told.any():
            with np.errstate(divide="ignore"):
                log_likelihood[told] = np.log(queries.likelihoods[j][told])
    else:
        first, last = _ends(queries, j)
        count = np.where(kind == RANGE, last - first + 1, 1.0)
        if j in queries.sets:
            count = np.where(kind == SET, queries.sets[j].shape[1], count)
        values = np.full((len(queries), max(1, int(count.max()))), np.nan)
        within = np.flatnonzero(kind == RANGE)
        steps = np.rint(first[within, None]) + np.arange(values.shape[1])
        inside = steps <= np.rint(last[within, None])
        steps = steps if variable.cell is None else variable.cell.value(steps)
        values[within] = np.where(inside, steps, np.nan)
        if j in queries.sets:
            chosen = queries.sets[j] if variable.cell is None else variable.cell.snap(queries.sets[j])
            values[kind == SET, : chosen.shape[1]] = chosen[kind == SET]
        log_likelihood = np.where(np.isnan(values), -np.inf, 0.0)
    points = np.flatnonzero(kind == POINT)
    given = queries.a[points, j] if variable.cell is None else variable.cell.snap(queries.a[points, j])
    values[points], log_likelihood[points] = np.nan, -np.inf
    values[points, 0], log_likelihood[points, 0] = given, 0.0
    return values, log_likelihood


@dataclass(frozen=True, eq=False)
class States:
    """All joint states of Q queries, each query's numbered from 0.

    Attributes:
        queries: of finitely many states each.
        values: column -> `[Q, m]` values, NaN pads.
        log_likelihood: column -> the same of the evidence, -inf pads.
        size: `[Q, width]` values of each column.
        stride: `[Q, width]` how many states go by before a column changes.
        total: `[Q]` states.
    """

    queries: QueryBatch
    values: dict[int, np.ndarray]
    log_likelihood: dict[int, np.ndarray]
    size: np.ndarray
    stride: np.ndarray
    total: np.ndarray

    @classmethod
    def of(cls, queries: QueryBatch) -> States:
        """The states of queries that leave finitely many."""
        lists = {j: listed(queries, j) for j in range(queries.schema.width) if queries.schema.columns[j].discrete}
        for j, variable in enumerate(queries.schema.columns):
            if variable.cell is not None:
                lists[j] = listed(queries, j)
            elif not variable.discrete:  # given to a point
                lists[j] = queries.a[:, j, None], np.zeros((len(queries), 1))
        size = np.stack([(~np.isnan(lists[j][0])).sum(1) for j in range(queries.schema.width)], 1)
        after = np.cumprod(size[:, ::-1], 1)[:, ::-1]
        stride = np.concatenate([after[:, 1:], np.ones((len(size), 1), dtype=after.dtype)], 1)
        return cls(
            queries, {j: v for j, (v, _) in lists.items()}, {j: w for j, (_, w) in lists.items()}, size, stride,
            after[:, 0],
        )  # fmt: skip

    def digit(self, state: np.ndarray, j: int) -> np.ndarray:
        """Which value of column j a state `[Q, n]` has."""
        return state // self.stride[:, j, None] % self.size[:, j, None]

    def rows(self, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The rows `[Q, n, width]` of states `[Q, n]` in data units, and log p(evidence | row) `[Q, n]`."""
        out = np.empty((*state.shape, self.queries.schema.width))
        told = np.zeros(state.shape)
        for j in range(out.shape[-1]):
            digit = self.digit(state, j)
            out[..., j] = np.take_along_axis(self.values[j], digit, 1)
            told += np.take_along_axis(self.log_likelihood[j], digit, 1)
        return out, told
