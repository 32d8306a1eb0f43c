"""One-variable laws under evidence of every kind: the leaves of circuits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from genprob.data.measure import Cell
from genprob.query.batch import NOISY, NOTHING, POINT, RANGE, QueryBatch
from genprob.testing import normal
from genprob.testing.choice import along, logsumexp, pick
from genprob.testing.likelihood import of_column

_NODES = 2001
"""Nodes of the trapezoidal rule under a reading of a positive; the integrand vanishes at both ends."""
_REACH = 10.0
"""Standard deviations within which a law or a reading counts."""


class Law(Protocol):
    """A law of one column; all queries know the same kind of evidence of it."""

    def log_evidence(self, queries: QueryBatch, column: int) -> np.ndarray:
        """`[Q]`, 0 where nothing is known."""
        ...

    def log_prob(self, x: np.ndarray, cell: Cell | None) -> np.ndarray:
        """log-density of values, or log-mass; of the cells that hold them where there are cells."""
        ...

    def draw(self, queries: QueryBatch, column: int, query: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One draw given the evidence of each of the queries `query [n]`."""
        ...


class _Listed:
    """A law over values that can be listed: categories, counts, cells."""

    def listed(self, queries: QueryBatch, column: int) -> tuple[np.ndarray, np.ndarray]:
        """Values `[V]` and their log-probabilities, enough of them for the evidence."""
        raise NotImplementedError

    def log_evidence(self, queries: QueryBatch, column: int) -> np.ndarray:
        if queries.kind[0, column] == NOTHING:
            return np.zeros(len(queries))
        values, log_prob = self.listed(queries, column)
        return logsumexp(log_prob + of_column(queries, column, values[None]))

    def draw(self, queries: QueryBatch, column: int, query: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        values, log_prob = self.listed(queries, column)
        log_mass = log_prob + of_column(queries, column, values[None])
        peak = log_mass.max(1, keepdims=True)
        mass = np.exp(log_mass - np.where(np.isfinite(peak), peak, 0.0))
        return values[pick(mass, query, rng.random(len(query)))]


class Levels(_Listed):
    """Probabilities of the levels of a category or a binary."""

    def __init__(self, probs: Sequence[float]) -> None:
        self.probs = np.asarray(probs, dtype=np.float64)

    def log_prob(self, x: np.ndarray, cell: Cell | None) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return np.log(self.probs)[x.astype(int)]

    def listed(self, queries: QueryBatch, column: int) -> tuple[np.ndarray, np.ndarray]:
        with np.errstate(divide="ignore"):
            return np.arange(len(self.probs), dtype=np.float64), np.log(self.probs)


class Counts(_Listed):
    """A count with a frozen discrete `scipy.stats` law."""

    def __init__(self, law: Any) -> None:
        self.law, self._top = law, int(law.ppf(1 - 1e-15)) + 20

    def log_prob(self, x: np.ndarray, cell: Cell | None) -> np.ndarray:
        return self.law.logpmf(x)

    def listed(self, queries: QueryBatch, column: int) -> tuple[np.ndarray, np.ndarray]:
        values = np.arange(int(max(self._top, _largest(queries, column) + self._top)) + 1, dtype=np.float64)
        return values, self.law.logpmf(values)


@dataclass(frozen=True)
class Normal:
    """A normal law; of a column measured in cells, the probabilities of the cells."""

    mean: float
    sd: float

    def log_prob(self, x: np.ndarray, cell: Cell | None) -> np.ndarray:
        if cell is None:
            return normal.log_density(x, self.mean, self.sd)
        return normal.log_mass(*((edge - self.mean) / self.sd for edge in cell.edges(x)))

    def log_evidence(self, queries: QueryBatch, column: int) -> np.ndarray:
        if queries.schema.columns[column].cell is not None:
            return _Rounded(self).log_evidence(queries, column)
        a, b, kind = queries.a[:, column], queries.b[:, column], queries.kind[0, column]
        if kind == POINT:
            return normal.log_density(a, self.mean, self.sd)
        if kind == RANGE:
            return normal.log_mass((a - self.mean) / self.sd, (b - self.mean) / self.sd)
        if kind == NOISY:
            return normal.log_density(a, self.mean, np.hypot(self.sd, b))
        return np.zeros(len(queries))

    def draw(self, queries: QueryBatch, column: int, query: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if queries.schema.columns[column].cell is not None:
            return _Rounded(self).draw(queries, column, query, rng)
        a, b, kind = queries.a[query, column], queries.b[query, column], queries.kind[0, column]
        return drawn(kind, a, b, np.full(len(query), self.mean), self.sd, rng)


@dataclass(frozen=True)
class _Rounded(_Listed):
    """A normal law rounded to the cells of its column."""

    law: Normal

    def listed(self, queries: QueryBatch, column: int) -> tuple[np.ndarray, np.ndarray]:
        cell = queries.schema.columns[column].cell
        assert cell is not None
        reach = _REACH * self.law.sd
        known = _finite(queries, column)
        ends = [self.law.mean - reach, self.law.mean + reach, *(known - reach), *(known + reach)]
        first, last = cell.index(np.array([min(ends), max(ends)]))
        values = cell.value(np.arange(first, last + 1))
        low, high = ((edge - self.law.mean) / self.law.sd for edge in cell.edges(values))
        return values, normal.log_mass(low, high)


@dataclass(frozen=True)
class LogNormal:
    """A positive whose log is normal; noisy readings are integrated over the log."""

    mean: float
    sd: float

    def log_prob(self, x: np.ndarray, cell: Cell | None) -> np.ndarray:
        return normal.log_density(np.log(x), self.mean, self.sd) - np.log(x)

    def log_evidence(self, queries: QueryBatch, column: int) -> np.ndarray:
        kind = queries.kind[0, column]
        a, b = queries.a[:, column], queries.b[:, column]
        if kind == POINT:
            return normal.log_density(np.log(a), self.mean, self.sd) - np.log(a)
        if kind == RANGE:
            return normal.log_mass(*((self._log(end) - self.mean) / self.sd for end in (a, b)))
        if kind == NOISY:
            y, log_density = self._read(a, b)
            return logsumexp(log_density) + np.log(y[:, 1] - y[:, 0])
        return np.zeros(len(queries))

    def draw(self, queries: QueryBatch, column: int, query: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        kind = queries.kind[0, column]
        a, b = queries.a[:, column], queries.b[:, column]
        if kind == NOISY:
            y, log_density = self._read(a, b)
            density = np.exp(log_density - log_density.max(1, keepdims=True))
            return np.exp(along(y, density, query, rng.random((2, len(query))))[0])
        if kind == POINT:
            return a[query]
        low, high = self._log(a)[query], self._log(b)[query]
        y = np.exp(drawn(kind, low, high, np.full(len(query), self.mean), self.sd, rng))
        return np.clip(y, a[query], b[query]) if kind == RANGE else y

    def _log(self, x: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return np.log(np.maximum(x, 0.0))

    def _read(self, value: np.ndarray, sd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Nodes `[Q, G]` of the log, and the log of prior times likelihood there."""
        inner, outer = (np.log(np.maximum(value + side * _REACH * sd, 1e-300)) for side in (-1, 1))
        low = np.maximum(self.mean - _REACH * self.sd, inner)
        high = np.minimum(self.mean + _REACH * self.sd, outer)
        apart = low >= high  # a reading so far out that only its own neighbourhood counts
        low, high = np.where(apart, inner, low), np.where(apart, outer, high)
        y = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, _NODES)
        reading = normal.log_density(value[:, None], np.exp(y), sd[:, None])
        return y, normal.log_density(y, self.mean, self.sd) + reading


def drawn(kind: int, a: np.ndarray, b: np.ndarray, mean: np.ndarray, sd: float, rng: np.random.Generator) -> np.ndarray:
    """Draws of N(mean, sd) given a point, an interval, a noisy reading of it, or nothing; all arrays `[n]`."""
    if kind == POINT:
        return a.copy()
    if kind == RANGE:
        z = normal.truncated((a - mean) / sd, (b - mean) / sd, rng.random(mean.shape))
        return np.clip(mean + sd * z, a, b)
    if kind == NOISY:
        share = sd**2 / (sd**2 + b**2)
        return mean + share * (a - mean) + sd * np.sqrt(1 - share) * rng.standard_normal(mean.shape)
    return mean + sd * rng.standard_normal(mean.shape)


def _finite(queries: QueryBatch, column: int) -> np.ndarray:
    """The finite numbers in the evidence of a column."""
    if queries.kind[0, column] == NOTHING:
        return np.zeros(0)
    found = [queries.a[:, column], queries.b[:, column]]
    if column in queries.sets:
        found.append(queries.sets[column].reshape(-1))
    numbers = np.concatenate(found)
    return numbers[np.isfinite(numbers)]


def _largest(queries: QueryBatch, column: int) -> float:
    return float(_finite(queries, column).max(initial=0.0))
