"""Joints with finitely many states, all of them listed: every answer is a sum."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from genprob.query.batch import QueryBatch
from genprob.query.evidence import Equals, OneOf, Soft
from genprob.results.record import QUANTILES, Marginal
from genprob.testing.choice import choose, logsumexp
from genprob.testing.likelihood import log_likelihood
from genprob.testing.reference import ReferenceJoint

if TYPE_CHECKING:
    from torch import Tensor


class Enumerated(ReferenceJoint):
    """A joint over categories and binaries, each cell a column, whose states are listed.

    log p(evidence) = log sum_x p(x) p(evidence | x); values, sets and likelihood vectors are all exact, and so are
    marginals. A subclass gives the schema and `log_mass(states)`.
    """

    @abstractmethod
    def log_mass(self, states: np.ndarray) -> np.ndarray:
        """log of the unnormalised mass of `states [n, width]`."""

    @cached_property
    def states(self) -> np.ndarray:
        """All states, `[n, width]`, the last column changing fastest."""
        levels = [range(v.cardinality or 0) for v in self.schema.columns]
        return np.array(list(product(*levels)), dtype=np.float64)

    @cached_property
    def log_partition(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        """log of the sum of all masses."""
        return float(logsumexp(self.log_mass(self.states)))

    @cached_property
    def log_probs(self) -> np.ndarray:
        """log p of every state, `[n]`."""
        return self.log_mass(self.states) - self.log_partition

    def log_joint(self, values: Tensor) -> Tensor:
        """log of the unnormalised mass of complete rows."""
        rows = values.reshape(-1, self.schema.width).cpu().numpy()
        return values.new_tensor(self.log_mass(rows)).reshape(values.shape[:-1])

    def kinds(self, variable: str) -> frozenset[type]:
        return frozenset({Equals, OneOf, Soft} if self.schema[variable].size == 1 else {Equals})

    def condition(self, queries: QueryBatch) -> ConditionalTable:
        return ConditionalTable(self.states, self.log_probs + log_likelihood(queries, self.states[None]))

    def marginals(self, queries: QueryBatch, targets: tuple[str, ...], seed: int = 0) -> dict[str, Marginal]:
        """Summed over the states."""
        log_mass = self.log_probs + log_likelihood(queries, self.states[None])
        share = np.exp(log_mass - np.maximum(logsumexp(log_mass), -1e300)[:, None])
        out = {}
        for name in targets:
            variable = self.schema[name]
            x = self.states[:, self.schema.slices[name]]
            pmf = np.stack([share @ (x == level) for level in range(variable.cardinality or 0)], -1)
            pmf = pmf.reshape(len(queries), *variable.shape, -1)
            out[name] = _marginal(pmf, variable.support.kind == "binary")
        return out


@dataclass(frozen=True)
class ConditionalTable:
    """Listed states `[n, width]` with log-masses `[Q, n]`."""

    states: np.ndarray
    log_mass: np.ndarray

    @property
    def log_evidence(self) -> np.ndarray:
        return logsumexp(self.log_mass)

    def draw(self, draws: int, rng: np.random.Generator) -> np.ndarray:
        return self.states[choose(self.log_mass, draws, rng)]


def _marginal(pmf: np.ndarray, numeric: bool) -> Marginal:
    event = pmf.shape[1:-1]
    if not numeric:
        blank = np.full(pmf.shape[:-1], np.nan)
        quantiles = np.full((len(pmf), len(QUANTILES), *event), np.nan)
        return Marginal(blank, blank, blank, quantiles, pmf, np.zeros_like(pmf), True)
    mean = np.clip(pmf[..., 1], 0.0, 1.0)
    quantiles = np.stack([(pmf[..., 0] < q).astype(np.float64) for q in QUANTILES], 1)
    return Marginal(mean, np.sqrt(mean * (1 - mean)), np.zeros_like(mean), quantiles, pmf, np.zeros_like(pmf), True)
