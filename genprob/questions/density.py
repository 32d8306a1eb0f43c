"""log p(targets | evidence) at many points of the targets: what influence and mode rest on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from genprob.engine.scope import running
from genprob.query.batch import NOTHING, POINT, QueryBatch
from genprob.query.capabilities import ScoresGiven
from genprob.query.scoring import log_conditional
from genprob.questions.asked import asked

if TYPE_CHECKING:
    from genprob.joint import Joint


def direct(joint: Joint, query: QueryBatch) -> bool:
    """Whether the model scores p(anything | evidence) itself: only points are given."""
    return isinstance(joint.model, ScoresGiven) and bool(np.isin(query.kind[0], (NOTHING, POINT)).all())


def log_density(
    joint: Joint, query: QueryBatch, points: np.ndarray, columns: np.ndarray, seed: int, budget: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """log p(columns at points | evidence of the one query), `[n]` nats, and the standard error of each.

    Arguments:
        points: `[n, width]` in data units; only `columns` (bool, `[width]`) are looked at.
    """
    if direct(joint, query):
        values = np.where(columns, points, np.where(query.kind[0] == POINT, query.a[0], np.nan))
        with running(joint.rng(seed)), torch.no_grad():
            scored = log_conditional(joint, values, query.kind[0] == POINT)
        return scored.value, np.nan_to_num(scored.error)
    many = query.take(np.zeros(len(points), dtype=np.int64))
    at = replace(
        many,
        kind=np.where(columns, POINT, many.kind).astype(np.int8),
        a=np.where(columns, points, many.a),
        asked=np.where(columns, False, many.kind == NOTHING),
        names=None,
    )
    above, below = asked(joint, at, 1, seed, budget), asked(joint, query, 1, seed, budget)
    error = np.hypot(above.log_evidence_se, below.log_evidence_se)
    return above.log_evidence - below.log_evidence, error
