"""Closed form: the model conditions exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from genprob.query.batch import QueryBatch
from genprob.query.capabilities import Conditions
from genprob.query.strategy import Answers, Offer, Refusal

if TYPE_CHECKING:
    from genprob.joint import Joint


class ClosedForm:
    """Exact conditionals of models that have them; draws are independent."""

    name = "closed-form"

    def offer(self, joint: Joint, queries: QueryBatch) -> list[Offer | Refusal]:
        if not isinstance(joint.model, Conditions):
            return [Refusal("the model has no conditionals in closed form", lacking=True)] * len(queries)
        offer = Offer("exact", "joint", "", 1.0, "the model conditions on this evidence in closed form")
        return [Refusal(reason) if reason else offer for reason in joint.model.inexact(queries)]

    def answer(self, joint: Joint, queries: QueryBatch, draws: int, budget: int | None) -> Answers:
        assert isinstance(joint.model, Conditions)
        cloud = joint.model.condition(queries)
        log_evidence = torch.logsumexp(cloud.log_weight, 1)
        possible = torch.isfinite(log_evidence)
        share = torch.softmax(torch.where(possible[:, None], cloud.log_weight, 0.0), 1)
        index = torch.multinomial(share, draws, replacement=True)
        blank = np.full(len(queries), np.nan)
        impossible = "the evidence has probability zero under the joint"
        return Answers(
            values=cloud.draw(index)[:, None],
            marginals=cloud.marginals(queries.targets),
            log_evidence=log_evidence.cpu().numpy(),
            log_evidence_se=np.zeros(len(queries)),
            ess=np.full(len(queries), float(draws)),
            khat=blank,
            rhat=blank,
            failures=["" if ok else impossible for ok in possible.tolist()],
        )
