"""Plain draws: given nothing, draws of the joint are the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from genprob.query.batch import NOTHING, QueryBatch
from genprob.query.capabilities import DrawsDirectly
from genprob.query.empirical import marginals
from genprob.query.strategy import Answers, Offer, Refusal, parted

if TYPE_CHECKING:
    from genprob.joint import Joint

KEPT = 1000
"""Draws that marginals rest on, however few are returned."""


class PlainDraws:
    """Independent draws of the joint, for questions that know nothing."""

    name = "draws"

    def offer(self, joint: Joint, queries: QueryBatch) -> list[Offer | Refusal]:
        if not isinstance(joint.model, DrawsDirectly) or not joint.model.direct:
            return [Refusal("the model has no independent draws of its law", lacking=True)] * len(queries)
        offer = Offer("exact", "joint", "", 2.0, "nothing is known, so that draws of the joint are the answer")
        return [offer if nothing else Refusal("something is known") for nothing in (queries.kind == NOTHING).all(1)]

    def answer(self, joint: Joint, queries: QueryBatch, draws: int, budget: int | None) -> Answers:
        size = max(draws, KEPT)
        return parted(lambda some: self._part(joint, some, draws, size), queries, size)

    def _part(self, joint: Joint, queries: QueryBatch, draws: int, size: int) -> Answers:
        assert isinstance(joint.model, DrawsDirectly)
        rows = joint.model.draw(len(queries) * size).reshape(len(queries), size, -1)
        blank, zero = np.full(len(queries), np.nan), np.zeros(len(queries))
        return Answers(
            values=rows[:, None, :draws],
            marginals=marginals(queries.schema, rows, queries.targets),
            log_evidence=zero,
            log_evidence_se=zero,
            ess=np.full(len(queries), float(draws)),
            khat=blank,
            rhat=blank,
            failures=[""] * len(queries),
        )
