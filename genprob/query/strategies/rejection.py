"""Rejection: draw, keep what meets the evidence, stop at a budget and say so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from genprob.query.batch import NOTHING, POINT, QueryBatch
from genprob.query.capabilities import Conditions, Draws
from genprob.query.empirical import marginals
from genprob.query.likelihood import log_ceiling, log_likelihood
from genprob.query.strategy import Answers, Offer, Refusal
from genprob.results.join import join_marginals

if TYPE_CHECKING:
    from genprob.joint import Joint

PROPOSALS = 100_000
_BLOCK = 4096
_KEPT = 1000
"""Draws kept for marginals, however few are returned."""


class Rejection:
    """Rejection sampling: accepted draws are independent draws of the conditional.

    Evidence on which the model conditions in closed form (points on true reals, everything on categories and counts)
    is put in beforehand; intervals, cells, sets and noisy readings are met by acceptance.
    """

    name = "rejection"

    def offer(self, joint: Joint, queries: QueryBatch) -> list[Offer | Refusal]:
        if isinstance(joint.model, Conditions):
            why = "draws that miss the evidence are rejected"
            offer = Offer("consistent", joint.model.law, "draws", float(PROPOSALS), why)
            closed = joint.model.inexact(queries.only(_put_in(queries)))
            return [Refusal(reason) if reason else offer for reason in closed]
        if not isinstance(joint.model, Draws):
            return [Refusal("the model cannot be sampled", lacking=True)] * len(queries)
        sharp = np.array([not v.discrete and v.cell is None for v in queries.schema.columns])
        points = (queries.kind == POINT) & sharp
        first = np.where(points.any(1), points.argmax(1), -1)
        offer = Offer("consistent", joint.model.law, "draws", float(PROPOSALS), "draws that miss are rejected")
        replies: dict[int, Offer | Refusal] = {-1: offer} | {
            j: Refusal(f"{queries.schema.columns[j].name!r} is given to a point, which no draw ever meets")
            for j in np.unique(first[first >= 0]).tolist()
        }
        return [replies[j] for j in first.tolist()]

    def answer(self, joint: Joint, queries: QueryBatch, draws: int, budget: int | None) -> Answers:
        parts = [self._one(joint, queries.take(slice(q, q + 1)), draws, budget) for q in range(len(queries))]
        kept = [p[0] for p in parts]
        values = np.full((len(parts), draws, queries.schema.width), np.nan)
        for q, rows in enumerate(kept):
            if len(rows):
                values[q] = rows[np.arange(draws) % len(rows)]
        accepted = np.array([len(k) for k in kept], dtype=float)
        total = np.array([p[1] for p in parts], dtype=float)
        ceiling = np.array([p[2] for p in parts])
        needed = min(draws, _KEPT)
        with np.errstate(divide="ignore", invalid="ignore"):
            evidence = np.log(accepted / total) + ceiling
            error = np.sqrt((1 - accepted / total) / np.maximum(accepted, 1e-12))
        nothing = np.full((1, queries.schema.width), np.nan)
        counted = [marginals(queries.schema, (rows if len(rows) else nothing)[None], queries.targets) for rows in kept]
        blank = np.full(len(parts), np.nan)
        failures = [
            "" if a >= max(needed, 100) or a >= draws
            else f"{int(a)} of {int(t)} proposals met the evidence; {draws} draws were asked"
            for a, t in zip(accepted, total, strict=True)
        ]  # fmt: skip
        return Answers(
            values=values[:, None],
            marginals={name: join_marginals([m[name] for m in counted]) for name in queries.targets},
            log_evidence=evidence,
            log_evidence_se=np.where(accepted > 0, error, np.inf),
            ess=np.minimum(accepted, draws),
            khat=blank,
            rhat=blank,
            failures=failures,
        )

    def _one(self, joint: Joint, query: QueryBatch, draws: int, budget: int | None) -> tuple[np.ndarray, int, float]:
        """Accepted rows, number of proposals, and the log of what an acceptance probability of one stands for."""
        most, wanted = budget or PROPOSALS, max(draws, _KEPT)
        model, rest = joint.model, query
        log_scale, share = 0.0, torch.ones(1, 1)
        if isinstance(model, Conditions):
            put_in = _put_in(query)
            cloud = model.condition(query.only(put_in))
            log_scale = float(torch.logsumexp(cloud.log_weight, 1))
            if not np.isfinite(log_scale):
                return np.zeros((0, query.schema.width)), 1, log_scale
            share = torch.softmax(cloud.log_weight, 1)
            rest = query.only(~put_in)
        kept: list[np.ndarray] = []
        proposals = found = 0
        while found < wanted and proposals < most:
            block = min(_BLOCK, most - proposals)
            if isinstance(model, Conditions):
                rows = cloud.draw(torch.multinomial(share, block, replacement=True))[0]
            else:
                assert isinstance(model, Draws)
                rows = model.draw(block)
            u = torch.rand(len(rows), dtype=torch.float64).numpy()
            hit = np.log(u) < log_likelihood(rest, 0, rows)
            proposals += block
            kept.append(rows[hit])
            found += int(hit.sum())
        return np.concatenate(kept), proposals, log_scale + log_ceiling(rest, 0)


def _put_in(queries: QueryBatch) -> np.ndarray:
    """What a model that conditions is given beforehand, `[Q, width]`."""
    sharp = np.array([v.discrete or v.cell is None for v in queries.schema.columns])
    discrete = np.array([v.discrete for v in queries.schema.columns])
    return ((queries.kind == POINT) & sharp) | (discrete & (queries.kind != NOTHING))
