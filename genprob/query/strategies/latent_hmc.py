"""Hamiltonian Monte Carlo over the latents of a program, all chains of all queries at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from genprob.engine.kernels.chees import ChEES
from genprob.engine.kernels.sampling import sample
from genprob.query import chained, roles
from genprob.query.batch import QueryBatch
from genprob.query.capabilities import Guided
from genprob.query.strategy import Answers, Offer, Refusal, parted

if TYPE_CHECKING:
    from genprob.joint import Joint

CHAINS = 8
KEPT = 250
WARMUP = 100
_NOWHERE = -1e12
"""Log-density of a latent under which the evidence is impossible, so that a chain may stand there and leave."""
_POOL = 64
"""Draws of the prior among which a chain looks for a start that the evidence allows."""


class LatentHMC:
    """Chains in the space of the latents, half from draws of the prior and half from the guide (ChEES-HMC).

    A query's chains share step size and trajectory length (Hoffman, Radul and Sountsov 2021); the latents are taken
    without bounds. The computation fails unless the chains agree (R-hat of every latent and of the log-density) and
    are worth enough draws, so a mode that only some of them found is seen. There is no log-evidence.
    """

    name = "latent-hmc"
    roles = True

    def offer(self, joint: Joint, queries: QueryBatch) -> list[Offer | Refusal]:
        if not isinstance(joint.model, Guided):
            return [Refusal("the model has no latents with a guide", lacking=True)] * len(queries)
        reason = joint.model.unannealed()
        if reason:
            return [Refusal(reason, lacking=True)] * len(queries)
        cost = 30.0 * CHAINS * (KEPT + WARMUP)
        offer = Offer("consistent", "joint", "steps", cost, "chains over the latents")
        return [roles.NOTHING_MOVES if h else offer for h in roles.held(queries, joint.schema)]

    def answer(self, joint: Joint, queries: QueryBatch, draws: int, budget: int | None) -> Answers:
        kept = KEPT if budget is None else max(KEPT, budget // CHAINS)
        return parted(lambda some: self._part(joint, some, draws, kept), queries, CHAINS * kept)

    def _part(self, joint: Joint, queries: QueryBatch, draws: int, kept: int) -> Answers:
        model = joint.model
        assert isinstance(model, Guided)
        path = model.path(queries)

        def log_density(position: Tensor) -> Tensor:
            scores = path.scores(position)
            total = scores[0] + scores[1]
            return torch.where(torch.isfinite(total), total, _NOWHERE).clamp(min=_NOWHERE)

        pool = path.start(_POOL)
        allowed = log_density(pool) > _NOWHERE
        chosen = torch.multinomial(allowed.double() + 1e-9, CHAINS // 2)
        prior = pool.gather(1, chosen[..., None].expand(-1, -1, pool.shape[-1]))
        start = torch.cat([prior, model.guided(queries, CHAINS - CHAINS // 2)], 1)
        positions, told = sample(ChEES(log_density, longest=16), start, draws=kept, warmup=WARMUP)
        points = positions.permute(2, 0, 1, 3).flatten(1, 2) if positions.ndim == 4 else positions.flatten(0, 1)[None]
        level = log_density(points).reshape(len(queries), kept, CHAINS).permute(1, 0, 2)
        watched = torch.cat([positions, level.transpose(1, 2)[..., None]], -1)
        weight = torch.full(points.shape[:2], -float(np.log(points.shape[1])), dtype=torch.float64)
        cloud = model.cloud(queries, points, weight.to(points.device))
        index = torch.arange(points.shape[1], device=points.device).expand(points.shape[:2])
        accepted = told["acceptance"].double().mean((0, 1)).cpu().numpy()
        return chained.answers(
            cloud.draw(index),
            cloud.marginals(queries.targets),
            watched,
            draws=draws,
            lost=~np.asarray((level[-1] > _NOWHERE).any(-1).cpu()),
            stats={"acceptance": np.broadcast_to(accepted, (len(queries),)).copy()},
        )
