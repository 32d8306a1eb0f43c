"""A batch of queries answered in flat arrays, for questions that are made of many queries."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from genprob.engine.scope import running
from genprob.query.batch import QueryBatch
from genprob.query.capabilities import JointDensity
from genprob.query.planner import Planner
from genprob.query.strategy import PARTICLES
from genprob.results.join import join, uniform
from genprob.results.record import Marginal

if TYPE_CHECKING:
    from genprob.joint import Joint


@dataclass(frozen=True, eq=False)
class Asked:
    """Answers to Q queries.

    Attributes:
        values: `[Q, chain, draw, width]`, data units and category codes.
        marginals: target -> its marginal.
        log_evidence, log_evidence_se, ess: `[Q]`; the error is without that of a log-partition function, which
            cancels in the difference of two.
        guarantee: `[Q]` texts.
        computed, reliable: `[Q]` bool, whether the method converged, and whether the whole may be trusted.
        reasons: one text a query.
    """

    values: np.ndarray
    marginals: dict[str, Marginal]
    log_evidence: np.ndarray
    log_evidence_se: np.ndarray
    ess: np.ndarray
    guarantee: np.ndarray
    computed: np.ndarray
    reliable: np.ndarray
    reasons: list[str]


def asked(joint: Joint, queries: QueryBatch, draws: int, seed: int, budget: int | None = None) -> Asked:
    """The answers to a batch, each by its best offer. Raises `UsageError` where no strategy offers."""
    planner = Planner(joint)
    queries = replace(queries, names=queries.targets)
    with running(joint.rng(seed)), torch.no_grad():
        parts = joint.chunks(len(queries), max(budget or PARTICLES, draws))
        answers = [planner.answer(queries.take(p), draws, seed, budget, single=False, lenient=True) for p in parts]
    answer = uniform(join(answers), draws)
    guarantee = np.array(answer.guarantee, dtype=object)
    shared = joint.model.log_partition_se if isinstance(joint.model, JointDensity) else 0.0
    error = np.sqrt(np.maximum(answer.log_evidence_se**2 - shared**2, 0.0))
    return Asked(
        answer.values,
        dict(answer.marginals),
        answer.log_evidence,
        np.where(guarantee == "exact", np.nan_to_num(error), error),
        answer.ess,
        guarantee,
        np.array([c == "ok" for c in answer.computation]),
        answer.reliable.astype(bool),
        list(answer.reasons),
    )
