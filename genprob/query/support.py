"""Support: is the evidence something the joint has seen the like of?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from genprob.data.batch import Batch
from genprob.query.batch import NOTHING, POINT, QueryBatch
from genprob.query.capabilities import Draws, ScoresGiven, ScoresRows
from genprob.query.drawn_density import DRAWS, DrawnDensity
from genprob.query.likelihood import log_ceiling

if TYPE_CHECKING:
    from genprob.joint import Joint

LEAST_RANK = 0.005
_MANY_MASKS, _FEWER_ROWS = 64, 128
"""With more masks than that, so many reference rows are enough to see a rank below `LEAST_RANK`."""
_LEAST_ROWS = 20
"""Where fewer reference rows know all that a query knows, those with holes are compared as well."""


def judge(joint: Joint, queries: QueryBatch, log_evidence: np.ndarray) -> tuple[list[str], list[str]]:
    """A status (`ok`, `fail`, `unknown`) and a reason per query.

    Points: the rank of log p(x_O) among reference rows of the data, seen through the same mask. Ranges, sets and
    noisy readings: where fewer than one row in the whole data, alike in the points, would be expected to meet them.
    """
    points = queries.kind == POINT
    softer = ((queries.kind != NOTHING) & ~points).any(1)
    rank, score = _ranks(joint, queries, points)
    both = np.flatnonzero(softer & points.any(1))
    if len(both) and isinstance(
        joint.model, ScoresGiven
    ):  # what is subtracted must be of the same law as the log-evidence
        score[both] = joint.model.log_evidence(queries.only(points).take(both)).value
    floor = -np.log(max(joint.rows, 1))
    statuses, reasons = [], []
    for q in range(len(queries)):
        if np.isnan(rank[q]):
            statuses.append("unknown")
            reasons.append("support: the model cannot rank evidence")
        elif rank[q] < LEAST_RANK:
            statuses.append("fail")
            share = 100 * (1 - LEAST_RANK)
            reasons.append(f"support: the given values are more unusual than {share:.1f} % of the data")
        elif softer[q] and log_evidence[q] - score[q] < floor + log_ceiling(queries, q):
            statuses.append("fail")
            reasons.append(f"support: fewer than one in {joint.rows} rows would meet the evidence")
        else:
            statuses.append("ok")
            reasons.append("")
    return statuses, reasons


def _ranks(joint: Joint, queries: QueryBatch, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of reference rows whose known cells under the same mask are less likely, and log p of the points.

    1 and 0 where no point is given.
    """
    out, score = np.ones(len(queries)), np.zeros(len(queries))
    asked = np.flatnonzero(points.any(1))
    if not len(asked):
        return out, score
    scorer = _scorer(joint)
    if scorer is None:
        out[asked] = score[asked] = np.nan
        return out, score
    reference = joint.reference
    masks, which = np.unique(points[asked], axis=0, return_inverse=True)
    if len(masks) > _MANY_MASKS:
        reference = reference.take(torch.arange(min(len(reference), _FEWER_ROWS), device=reference.values.device))
    scores = scorer.score_masks(reference, torch.as_tensor(masks, device=reference.observed.device)).cpu().numpy()
    whole = reference.observed.cpu().numpy()
    usable = (masks.astype(float) @ (~whole).T.astype(float)) == 0  # rows that know all that the mask knows
    usable[usable.sum(1) < _LEAST_ROWS] = True
    own = scorer.score_rows(_given(joint, queries, asked, points)).cpu().numpy()
    score[asked] = own
    with np.errstate(invalid="ignore"):
        out[asked] = ((scores[which] <= own[:, None]) & usable[which]).sum(1) / usable[which].sum(1)
    return out, score


def _scorer(joint: Joint) -> ScoresRows | None:
    """What ranks rows: the model, or else a rough density of its draws, always the same ones."""
    model = joint.model
    if isinstance(model, ScoresRows):
        return model
    if not isinstance(model, Draws):
        return None
    device = joint.reference.values.device
    with torch.random.fork_rng(devices=[device.index or 0] if device.type == "cuda" else []):
        torch.manual_seed(0)
        return DrawnDensity(joint.schema, model.draw(DRAWS))


def _given(joint: Joint, queries: QueryBatch, index: np.ndarray, points: np.ndarray) -> Batch:
    reference = joint.reference
    known = torch.as_tensor(points[index], device=reference.values.device)
    filler = reference.values[:1].expand(len(index), -1)
    given = torch.as_tensor(np.nan_to_num(queries.a[index]), device=filler.device, dtype=filler.dtype)
    return Batch(reference.schema, torch.where(known, given, filler), known, torch.arange(len(index)), len(index))
