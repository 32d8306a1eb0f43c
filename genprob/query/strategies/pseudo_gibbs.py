"""Metropolis within Gibbs between the latents of a program and the cells that are unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from genprob.query import chained
from genprob.query.batch import NOTHING, POINT, QueryBatch
from genprob.query.capabilities import Completes
from genprob.query.empirical import marginals
from genprob.query.strategy import Answers, Offer, Refusal, parted

if TYPE_CHECKING:
    from genprob.joint import Joint

CHAINS = 8
KEPT = 250
THIN = 1
WARMUP = 50


class PseudoGibbs:
    """Latents proposed by the guide at the completed row and corrected, then the unknown cells given them.

    The guide at a complete row is what training fitted best, and the Metropolis correction makes the chain's law the
    model's own whatever the guide is (Mattei and Frellsen 2018, Leveraging the exact likelihood of deep latent
    variable models). Points only. Chains begin at independent draws of the prior; there is no log-evidence.
    """

    name = "pseudo-gibbs"

    def offer(self, joint: Joint, queries: QueryBatch) -> list[Offer | Refusal]:
        if not isinstance(joint.model, Completes):
            return [Refusal("the model has no latents with a guide", lacking=True)] * len(queries)
        refusal = Refusal("only points can be held while cells are redrawn; there is other evidence")
        offer = Offer("consistent", "joint", "steps", 40.0 * CHAINS * KEPT * THIN, "latents and unknown cells in turn")
        other = (queries.kind != POINT) & (queries.kind != NOTHING)
        return [refusal if row.any() else offer for row in other]

    def answer(self, joint: Joint, queries: QueryBatch, draws: int, budget: int | None) -> Answers:
        kept = KEPT if budget is None else max(KEPT, budget // CHAINS)
        return parted(lambda some: self._part(joint, some, draws, kept), queries, CHAINS * kept)

    def _part(self, joint: Joint, queries: QueryBatch, draws: int, kept: int) -> Answers:
        assert isinstance(joint.model, Completes)
        chain = joint.model.completion(queries, CHAINS)
        accepted = torch.zeros(len(queries), CHAINS, dtype=torch.float64)
        rows, watched = [], []
        for step in range(WARMUP + kept * THIN):
            accepted += chain.step().double().cpu() * (step >= WARMUP)
            if step >= WARMUP and (step - WARMUP) % THIN == THIN - 1:
                rows.append(chain.rows)
                watched.append(torch.cat([torch.as_tensor(chain.rows), chain.log_joint.cpu()[..., None]], -1))
        values = np.stack(rows, 1).reshape(len(queries), -1, queries.schema.width)  # [Q, kept * chains, width]
        seen = torch.stack(watched).transpose(1, 2)  # [kept, chains, Q, functionals]
        return chained.answers(
            values,
            marginals(queries.schema, values, queries.targets),
            seen,
            draws=draws,
            lost=~np.asarray(torch.isfinite(chain.log_joint).any(-1).cpu()),
            stats={"acceptance": (accepted / (kept * THIN)).mean(1).numpy()},
        )
