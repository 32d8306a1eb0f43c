"""What the query engine hands over: plain arrays, before labels and files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from genprob.data.schema import Schema

QUANTILES = (0.025, 0.05, 0.25, 0.5, 0.75, 0.95, 0.975)
"""The levels at which marginals keep quantiles."""


@dataclass(frozen=True)
class Marginal:
    """One target's marginal distribution, per query.

    Attributes:
        mean, sd, mcse: `[Q, *event]` in data units, `mcse` the Monte-Carlo standard error of the mean; NaN for
            categoricals.
        quantiles: `[Q, 7, *event]` at `QUANTILES`; NaN for categoricals.
        pmf: `[Q, *event, level]` probabilities of the levels (or of 0, 1, ...), or None.
        pmf_mcse: the Monte-Carlo standard error of each.
        rao_blackwell: whether they average conditional expectations instead of draws.
    """

    mean: np.ndarray
    sd: np.ndarray
    mcse: np.ndarray
    quantiles: np.ndarray
    pmf: np.ndarray | None = None
    pmf_mcse: np.ndarray | None = None
    rao_blackwell: bool = False

    def take(self, index: np.ndarray) -> Marginal:
        """The marginal of the queries at these positions."""
        arrays = {n: getattr(self, n) for n in ("mean", "sd", "mcse", "quantiles", "pmf", "pmf_mcse")}
        return replace(self, **{n: None if a is None else a[index] for n, a in arrays.items()})


@dataclass(frozen=True)
class Answer:
    """The answer to a batch of Q queries.

    Attributes:
        schema: the modelled variables; its `slices` are the flat columns.
        targets: the variables that some query asks, in the order of the answer.
        values: `[Q, chain, draw, width]` float64, equally weighted, in flat columns (category codes; givens repeated).
        marginals: target -> its marginal.
        log_evidence, log_evidence_se, ess, khat, rhat: `[Q]`, NaN where a strategy has none.
        tries: `[Q]`, how many strategies were asked.
        reliable: `[Q]`, 0 or 1.
        strategy, guarantee, law, limit: one text per query.
        computation, support, calibration: one of ok, fail, unknown per query.
        reasons: one text per query, empty where nothing is to be said.
        stats: name -> `[Q]` what else the strategies tell of themselves, NaN where one does not.
        seconds: wall time of the whole batch.
        seed: of the call.
        given: per query, variable -> its evidence as readable text; None where `observed` says it all.
        observed: `[Q, width]` the given points, NaN elsewhere; None if there are none.
        prior: `[chain, draw, width]` draws of the joint, to compare with, or None.
        single: one query asked by itself; its result has no query dimension.
        provenance: anything JSON about how the answer came to be.
    """

    schema: Schema
    targets: tuple[str, ...]
    values: np.ndarray
    marginals: Mapping[str, Marginal]
    log_evidence: np.ndarray
    log_evidence_se: np.ndarray
    ess: np.ndarray
    khat: np.ndarray
    rhat: np.ndarray
    tries: np.ndarray
    reliable: np.ndarray
    strategy: Sequence[str]
    guarantee: Sequence[str]
    law: Sequence[str]
    limit: Sequence[str]
    computation: Sequence[str]
    support: Sequence[str]
    calibration: Sequence[str]
    reasons: Sequence[str]
    stats: Mapping[str, np.ndarray] = field(default_factory=dict)
    seconds: float = 0.0
    seed: int = 0
    given: Sequence[Mapping[str, str]] | None = None
    observed: np.ndarray | None = None
    prior: np.ndarray | None = None
    single: bool = False
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def queries(self) -> int:
        """Q, the number of queries."""
        return self.values.shape[0]
