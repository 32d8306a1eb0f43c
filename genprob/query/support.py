"""Support: is the evidence something the joint has seen the like of?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from genprob.data.batch import Batch
from genprob.query.batch import NOTHING, POINT, QueryBatch
from genprob.query.capabilities import ScoresRows

if TYPE_CHECKING:
    from genprob.joint import Joint

LEAST_RANK = 0.005
_SCORED_AT_ONCE = 65_536


def judge(joint: Joint, queries: QueryBatch, log_evidence: np.ndarray) -> tuple[list[str], list[str]]:
    """A status (`ok`, `fail`, `unknown`) and a reason per query.

    Points: the rank of log p(x_O) among reference rows of the data, seen through the same mask. Ranges, sets and
    noisy readings: one that fewer than one row in the whole data would be expected to meet fails.
    """
    points = queries.kind == POINT
    softer = ((queries.kind != NOTHING) & ~points).any(1)
    rank = _ranks(joint, queries, points)
    floor = -np.log(max(joint.rows, 1))
    sharp = np.array([not v.discrete and v.cell is None for v in queries.schema.columns])
    statuses, reasons = [], []
    for q in range(len(queries)):
        if np.isnan(rank[q]):
            statuses.append("unknown")
            reasons.append("support: the model cannot rank evidence")
        elif rank[q] < LEAST_RANK:
            statuses.append("fail")
            reasons.append(f"support: the given values are more unusual than {100 * (1 - LEAST_RANK):.1f} % of the data")
        elif softer[q] and not (points[q] & sharp).any() and log_evidence[q] < floor - _reading_scale(queries, q):
            statuses.append("fail")
            reasons.append(f"support: fewer than one in {joint.rows} rows would meet the evidence")
        else:
            statuses.append("ok")
            reasons.append("")
    return statuses, reasons


def _reading_scale(queries: QueryBatch, q: int) -> float:
    """log of the largest density of the noisy readings, so that their evidence compares with a probability."""
    from genprob.query.batch import NOISY

    noisy = queries.kind[q] == NOISY
    return float(np.log(queries.b[q, noisy] * np.sqrt(2 * np.pi)).sum())


def _ranks(joint: Joint, queries: QueryBatch, points: np.ndarray) -> np.ndarray:
    """Share of reference rows whose known cells under the same mask are less likely; 1 where no point is given."""
    out = np.ones(len(queries))
    asked = np.flatnonzero(points.any(1))
    if not len(asked):
        return out
    if not isinstance(joint.model, ScoresRows):
        out[asked] = np.nan
        return out
    reference = joint.reference
    masks, which = np.unique(points[asked], axis=0, return_inverse=True)
    step = max(1, _SCORED_AT_ONCE // max(1, len(reference)))
    for first in range(0, len(masks), step):
        some = torch.as_tensor(masks[first : first + step], device=reference.observed.device)
        size = len(some)
        rows = Batch(
            reference.schema,
            reference.values.repeat(size, 1),
            reference.observed.repeat(size, 1) & some.repeat_interleave(len(reference), 0),
            torch.arange(size * len(reference)),
            size * len(reference),
        )
        complete = (reference.observed[None] | ~some[:, None]).all(-1).cpu().numpy()
        scores = joint.model.score_rows(rows).reshape(size, len(reference)).cpu().numpy()
        mine = np.flatnonzero((which >= first) & (which < first + size))
        own = joint.model.score_rows(_given(joint, queries, asked[mine], points)).cpu().numpy()
        for position, score in zip(mine, own, strict=True):
            local = which[position] - first
            usable = complete[local] if complete[local].sum() >= 20 else np.ones(len(reference), dtype=bool)
            out[asked[position]] = (scores[local][usable] <= score).mean() if usable.any() else np.nan
    return out


def _given(joint: Joint, queries: QueryBatch, index: np.ndarray, points: np.ndarray) -> Batch:
    reference = joint.reference
    known = torch.as_tensor(points[index], device=reference.values.device)
    filler = reference.values[:1].expand(len(index), -1)
    given = torch.as_tensor(np.nan_to_num(queries.a[index]), device=filler.device, dtype=filler.dtype)
    return Batch(reference.schema, torch.where(known, given, filler), known, torch.arange(len(index)), len(index))
