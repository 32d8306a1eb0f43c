"""Clamped denoising chains: noise is put on and taken off again, and what is known put back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genprob.query.batch import QueryBatch
from genprob.query.capabilities import HeldChains, Walks
from genprob.query.strategies.clamped import Clamped
from genprob.query.strategy import Offer, Refusal

if TYPE_CHECKING:
    from genprob.joint import Joint


class Denoising(Clamped):
    """Chains of a denoiser that no accept step corrects, held to the evidence (Bengio et al. 2014).

    Their law is near the conditional where the denoiser is right and its steps small: heuristic, whatever the budget.
    They are judged by how well they mixed, as `Clamped` judges.
    """

    name = "denoising"
    chains, kept, least_stride = 32, 64, 2

    def offer(self, joint: Joint, queries: QueryBatch) -> list[Offer | Refusal]:
        model = joint.model
        if not isinstance(model, Walks):
            return [Refusal("the model has no denoising chain", lacking=True)] * len(queries)
        reason = "the model's denoising chain, what is known put back at every step"
        offer = Offer("heuristic", model.law, "steps", float(self.chains * self.kept * 2), reason)
        return [Refusal(reason) if reason else offer for reason in model.unwalkable(queries)]

    def held(self, joint: Joint, queries: QueryBatch) -> HeldChains:
        assert isinstance(joint.model, Walks)
        return joint.model.walk(queries, self.chains)
