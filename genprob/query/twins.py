"""Twins: planted truths near the evidence of one query, to test the very answer that was given."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from genprob.errors import UsageError
from genprob.query import audit
from genprob.query.audit import Cell
from genprob.query.batch import NOISY, NOTHING, POINT, QueryBatch
from genprob.query.capabilities import Draws
from genprob.query.likelihood import log_likelihood
from genprob.results.record import Answer

if TYPE_CHECKING:
    from genprob.joint import Joint

POOL = 20_000
"""Rows of the joint among which twins are looked for."""
TWINS = 100


def judge(
    joint: Joint, query: QueryBatch, *, strategy: str, budget: int | None, rng: np.random.Generator
) -> Cell | None:
    """Asks about rows like the one that `query` (a batch of one) describes; None if the joint has too few of them.

    A twin is told of in the same way: intervals, sets and likelihoods are the query's own (rows that miss them are
    rejected), values and readings are the twin's. Which rows are taken depends on what is told of them alone, so
    that the law of the rest stays the conditional.
    """
    if not isinstance(joint.model, Draws):
        raise UsageError(f"{type(joint.model).__name__} cannot be sampled, so it has no twins to audit by")
    started = time.monotonic()
    rows = joint.model.draw(POOL)
    own = np.isin(query.kind[0], (POINT, NOISY))
    u = torch.rand(len(rows), dtype=torch.float64).numpy()
    rows = rows[np.log(u) < log_likelihood(query.only(~own[None]), 0, rows)]
    if len(rows) < audit.LEAST:
        return None
    told = rows + np.where(query.kind[0] == NOISY, np.nan_to_num(query.b[0]), 0.0) * rng.standard_normal(rows.shape)
    nearest = np.argsort(_distance(query, told), kind="stable")[:TWINS]
    index = np.zeros(len(nearest), dtype=int)
    queries = query.take(index)
    queries = replace(queries, a=np.where(own, told[nearest], queries.a), names=())
    (cell,) = audit.judge(
        joint, rows[nearest], queries, audit.association(rows), rng,
        source="twins", kind="like this", share=float((query.kind[0] != NOTHING).mean()),
        strategy=strategy, budget=budget, started=started,
    ) or (None,)  # fmt: skip
    return cell


def regrade(answer: Answer, cell: Cell | None) -> Answer:
    """The answer to a single query with the twins' verdict as its calibration."""
    if cell is None or cell.verdict == "unknown":
        status, why = "unknown", "calibration: the joint holds too few rows like this one to audit by"
    elif cell.verdict == "ok":
        status, why = "ok", ""
    else:
        status = "fail"
        why = f"calibration: {cell.queries} planted truths like this one refute it (p = {cell.p:.2g}; {cell.forecast})"
    others = [r for r in answer.reasons[0].split("; ") if r and not r.startswith("calibration:")]
    sound = answer.computation[0] == "ok" and answer.support[0] == "ok" and status != "fail"
    return replace(
        answer,
        calibration=[status],
        reasons=["; ".join([*others, *([why] if why else [])])],
        reliable=np.array([int(sound)]),
    )


def _distance(query: QueryBatch, told: np.ndarray) -> np.ndarray:
    """How far what is told of each row lies from the query's values, in standard deviations; labels count as one."""
    out = np.zeros(len(told))
    for j in np.flatnonzero(np.isin(query.kind[0], (POINT, NOISY))):
        if query.schema.columns[j].support.kind in ("categorical", "binary"):
            out += told[:, j] != query.a[0, j]
        else:
            out += ((told[:, j] - query.a[0, j]) / max(float(told[:, j].std()), 1e-12)) ** 2
    return out
