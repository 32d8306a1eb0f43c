"""The reference joint: a known law over a schema that answers queries exactly, by means a model does not have."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from genprob.data.schema import Schema
from genprob.errors import UsageError
from genprob.query.batch import LIKELIHOOD, NOISY, POINT, RANGE, SET, QueryBatch, alike
from genprob.query.empirical import marginals
from genprob.query.evidence import Equals, OneOf, Soft, Within
from genprob.results.record import Marginal

if TYPE_CHECKING:
    from torch import Tensor

    from genprob.joint import Joint

_CLASSES = {POINT: Equals, RANGE: Within, SET: OneOf, NOISY: Soft, LIKELIHOOD: Soft}
_COUNTED = 4096
"""Draws behind a marginal that has no closed form."""


class Conditional(Protocol):
    """The conditionals of Q queries that know the same kinds of evidence of the same columns."""

    @property
    def log_evidence(self) -> np.ndarray:
        """`[Q]`, a log density in data units for points, a log probability for sets; -inf if impossible."""
        ...

    def draw(self, draws: int, rng: np.random.Generator) -> np.ndarray:
        """Independent draws `[Q, draws, width]`, what is given repeated; anything for impossible queries."""
        ...


class ReferenceJoint(ABC):
    """A joint whose every answer is known, to test a model, a strategy or a metric against.

    A subclass sets `schema` and says how to `condition` and which evidence that is exact for; the rest follows.

    Attributes:
        schema: the variables; rows are flat float64 columns in the order of `schema.slices`.
        accuracy: how exact the answers are, as a reader would want to know it.
        intervals: columns that a query may give by intervals or sets of reals together; None for any number.
        log_partition: log of what exp(log_joint) sums and integrates to.
    """

    schema: Schema
    accuracy: str = "rounding error"
    intervals: int | None = None
    log_partition: float = 0.0

    @abstractmethod
    def condition(self, queries: QueryBatch) -> Conditional:
        """The conditionals of queries whose `kind` rows are all equal and that are not `inexact`."""

    @abstractmethod
    def kinds(self, variable: str) -> frozenset[type]:
        """Kinds of evidence (`Equals`, `Within`, `OneOf`, `Soft`) on a variable that are answered exactly."""

    def inexact(self, queries: QueryBatch) -> list[str]:
        """Why each query has no exact answer here; empty where it has."""
        exact = [self.kinds(v.name) for v in self.schema.columns]
        out = [""] * len(queries)
        for index in alike(queries):
            reason = self._why(queries.kind[index[0]], exact)
            for q in index if reason else ():
                out[q] = reason
        return out

    def _why(self, kind: np.ndarray, exact: list[frozenset[type]]) -> str:
        wrong = [j for j in np.flatnonzero(kind) if _CLASSES[int(kind[j])] not in exact[j]]
        boxes = [j for j in np.flatnonzero(kind == RANGE) if not self.schema.columns[j].discrete]
        if wrong:
            name = self.schema.columns[wrong[0]].name
            return f"{_CLASSES[int(kind[wrong[0]])].__name__} on {name!r} has no exact answer"
        if self.intervals is not None and len(boxes) > self.intervals:
            names = " and ".join(repr(self.schema.columns[j].name) for j in boxes)
            return f"intervals of {names} together have no exact answer"
        return ""

    def sample(self, draws: int, seed: int = 0) -> np.ndarray:
        """Rows of the joint `[draws, width]`."""
        return self.conditionals(QueryBatch.empty(self.schema, 1), draws, seed)[0]

    def log_prob(self, values: np.ndarray) -> np.ndarray:
        """log p of the known cells of `[n, width]` rows, NaN cells summed or integrated out; `[n]` in nats."""
        return self.log_evidence(QueryBatch.from_values(self.schema, np.asarray(values, dtype=np.float64)))

    def log_joint(self, values: Tensor) -> Tensor:
        """log-density of complete rows `[..., width] -> [...]` up to a constant; of some references differentiable."""
        rows = values.detach().reshape(-1, self.schema.width).cpu().numpy()
        return values.new_tensor(self.log_prob(rows)).reshape(values.shape[:-1])

    def log_evidence(self, queries: QueryBatch) -> np.ndarray:
        """`[Q]` log-evidence of the queries; raises `UsageError` where it is not known exactly."""
        self._refuse(queries)
        out = np.empty(len(queries))
        for index in alike(queries):
            out[index] = self.condition(queries.take(index)).log_evidence
        return out

    def conditionals(self, queries: QueryBatch, draws: int, seed: int = 0) -> np.ndarray:
        """Independent draws of each query's conditional, `[Q, draws, width]`; NaN where the evidence is impossible.

        Raises `UsageError` where the conditional is not known exactly.
        """
        self._refuse(queries)
        rng = np.random.default_rng(seed)
        out = np.empty((len(queries), draws, self.schema.width))
        for index in alike(queries):
            part = queries.take(index)
            conditional = self.condition(part)
            values = conditional.draw(draws, rng)
            values[~np.isfinite(conditional.log_evidence)] = np.nan
            out[index] = values
        return out

    def conditional(self, query: QueryBatch | np.ndarray, draws: int, seed: int = 0) -> np.ndarray:
        """Draws `[draws, width]` of one query: a batch of one, or a row whose NaN cells are asked."""
        if not isinstance(query, QueryBatch):
            query = QueryBatch.from_values(self.schema, np.asarray(query, dtype=np.float64).reshape(1, -1))
        if len(query) != 1:
            raise UsageError(f"conditional answers one query, not {len(query)}; conditionals answers a batch")
        return self.conditionals(query, draws, seed)[0]

    def cdf(self, queries: QueryBatch, target: str, values: np.ndarray) -> np.ndarray:
        """P(target <= v | evidence) of a scalar real or count for `values [n]`, as `[Q, n]`.

        By the log-evidence of the query with and without `Within(None, v)`, so exact where intervals are.
        """
        column, values = self._scalar(target), np.atleast_1d(np.asarray(values, dtype=np.float64))
        index = np.repeat(np.arange(len(queries)), len(values))
        more = queries.take(index)
        kind, a, b = more.kind.copy(), more.a.copy(), more.b.copy()
        kind[:, column], a[:, column], b[:, column] = RANGE, -np.inf, np.tile(values, len(queries))
        share = self.log_evidence(replace(more, kind=kind, a=a, b=b)) - self.log_evidence(queries)[index]
        return np.exp(share).reshape(len(queries), -1)

    def pmf(self, queries: QueryBatch, target: str) -> np.ndarray:
        """P(target = level | evidence) of a scalar categorical or binary, `[Q, levels]`."""
        column, levels = self._scalar(target), self.schema[target].cardinality
        if levels is None:
            raise UsageError(f"{target!r} has no list of levels; cdf answers for reals and counts")
        index = np.repeat(np.arange(len(queries)), levels)
        more = queries.take(index)
        kind, a = more.kind.copy(), more.a.copy()
        kind[:, column], a[:, column] = POINT, np.tile(np.arange(levels), len(queries))
        share = self.log_evidence(replace(more, kind=kind, a=a)) - self.log_evidence(queries)[index]
        return np.exp(share).reshape(-1, levels)

    def marginals(self, queries: QueryBatch, targets: tuple[str, ...], seed: int = 0) -> dict[str, Marginal]:
        """Each target's marginal, counted from draws unless a subclass knows better."""
        return marginals(self.schema, self.conditionals(queries, _COUNTED, seed), targets)

    def as_joint(self, *, rows: int = 256, seed: int = 0) -> Joint:
        """The same law as a `genprob.Joint`, to be queried, scored and audited like a fitted one.

        Arguments:
            rows: rows drawn from it against which the support of evidence is judged.
            seed: of those rows.

        >>> from genprob.testing import references
        >>> answer = references()["gaussian"].as_joint().query(targets=["x1"], given={"x2": 0.5}, draws=100)
        >>> answer.attrs["guarantee"]
        'exact'
        """
        from genprob.testing.model import joint_of

        return joint_of(self, rows=rows, seed=seed)

    def _refuse(self, queries: QueryBatch) -> None:
        for q, reason in enumerate(self.inexact(queries)):
            if reason:
                raise UsageError(f"{type(self).__name__}, query {q}: {reason}")

    def _scalar(self, target: str) -> int:
        if self.schema[target].size != 1:
            raise UsageError(f"variable {target!r} is an array; its cells have to be asked one by one")
        return self.schema.slices[target].start
