"""Clamped chains: the model's own Markov chains, held to the evidence."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from genprob.engine.diagnostics import ess_bulk, rhat
from genprob.engine.transition import Adaptive
from genprob.query.batch import QueryBatch
from genprob.query.capabilities import Clamps, HeldChains
from genprob.query.empirical import marginals
from genprob.query.strategy import Answers, Offer, Refusal, parted
from genprob.results.record import Marginal

if TYPE_CHECKING:
    from genprob.joint import Joint

CHAINS, KEPT = 8, 500
"""Chains of a query, and draws kept of each."""
MOST_RHAT, LEAST_ESS = 1.01, 100.0
_SEEN = 64
"""Positions of a chain from which log-evidences may be told."""


class Clamped:
    """Markov chains of the model given the evidence (Geman and Geman 1984), judged by how well they mixed.

    Half of the chains begin at draws of the joint, half where the model's guide puts them; the first sixth of all
    steps is forgotten. The computation fails where the rank-normalised R-hat of an asked variable (of each category's
    indicator) is above 1.01 or the draws are worth fewer than 100.
    """

    name = "clamped"
    chains, kept, least_stride = CHAINS, KEPT, 1

    def offer(self, joint: Joint, queries: QueryBatch) -> list[Offer | Refusal]:
        if not isinstance(joint.model, Clamps):
            return [Refusal("the model has no chains that can be held to evidence", lacking=True)] * len(queries)
        offer = Offer(
            "consistent",
            joint.model.law,
            "steps",
            float(self.chains * self.kept),
            "the model's chains are held to it",
        )
        return [Refusal(reason) if reason else offer for reason in joint.model.unclampable(queries)]

    def answer(self, joint: Joint, queries: QueryBatch, draws: int, budget: int | None) -> Answers:
        kept = max(self.kept, -(-draws // self.chains))
        stride = max(self.least_stride, -(-(budget or 0) // (self.chains * kept)))
        return parted(lambda some: self._some(joint, some, draws, kept, stride), queries, self.chains * kept)

    def held(self, joint: Joint, queries: QueryBatch) -> HeldChains:
        """The chains of some queries."""
        assert isinstance(joint.model, Clamps)
        return joint.model.clamp(queries, self.chains)

    def _some(self, joint: Joint, queries: QueryBatch, draws: int, kept: int, stride: int) -> Answers:
        chains = self.held(joint, queries)
        warmup = max(100, kept * stride // 5)
        kernel, position = chains.kernel(warmup), chains.start()
        memory = kernel.init(position)
        rows, seen = np.empty((kept, len(queries), self.chains, queries.schema.width)), []
        for t in range(warmup + kept * stride):
            position, memory, told = kernel.step(position, memory)
            if t < warmup:
                if isinstance(kernel, Adaptive):
                    memory = kernel.adapt(position, memory, told)
            elif (t - warmup) % stride == stride - 1:
                count = (t - warmup) // stride
                rows[count] = chains.rows(position)
                if count % max(1, kept // _SEEN) == 0:
                    seen.append(position)
        log_evidence, error = chains.log_evidence(torch.stack(seen))
        worst, worth, each = _mixing(queries, torch.as_tensor(rows))
        share = np.linspace(0, kept - 1, -(-draws // self.chains)).round().astype(int)
        return Answers(
            values=np.moveaxis(rows[share], 0, 2),
            marginals=_marginals(queries, rows, each),
            log_evidence=log_evidence,
            log_evidence_se=error,
            ess=worth,
            khat=np.full(len(queries), np.nan),
            rhat=worst,
            failures=[_failure(*of) for of in zip(log_evidence, worst, worth, strict=True)],
        )


def _failure(log_evidence: float, worst: float, worth: float) -> str:
    if log_evidence == -np.inf:
        return "the evidence has probability zero under the joint"
    if not worst <= MOST_RHAT:
        return f"R-hat {worst:.3f} is above {MOST_RHAT}: the chains have not mixed"
    if worth < LEAST_ESS:
        return f"the draws of all chains are worth {worth:.0f}, fewer than {LEAST_ESS:.0f}"
    return ""


def _mixing(queries: QueryBatch, rows: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The worst R-hat and the least effective size over what each query asks, `[Q]`, and sizes `[Q, width]`."""
    worst, worth = np.ones(len(queries)), np.full(len(queries), float(rows.shape[0] * rows.shape[2]))
    each = np.full((len(queries), queries.schema.width), worth[0] if len(worth) else 0.0)
    for j in np.flatnonzero(queries.asked.any(0)).tolist():
        index = np.flatnonzero(queries.asked[:, j])
        levels = queries.schema.columns[j].cardinality or 0
        x = rows[:, index, :, j].movedim(1, 2)  # [draw, chain, query]
        parts = [x] if levels <= 2 else [(x == level).double() for level in range(levels)]
        for part in parts:
            worst[index] = np.fmax(worst[index], np.nan_to_num(rhat(part).numpy(), nan=np.inf))
            size = ess_bulk(part).numpy()
            each[index, j] = np.fmin(each[index, j], size)
            worth[index] = np.fmin(worth[index], size)
    return worst, worth, each


def _marginals(queries: QueryBatch, rows: np.ndarray, each: np.ndarray) -> dict[str, Marginal]:
    """Counted from all kept draws, their errors by what the draws are worth."""
    draws = rows.shape[0] * rows.shape[2]
    pooled = np.moveaxis(rows, 0, 2).reshape(len(queries), draws, -1)
    found = marginals(queries.schema, pooled, queries.targets)
    out = {}
    for name, marginal in found.items():
        variable = queries.schema[name]
        wider = np.sqrt(draws / each[:, queries.schema.slices[name]].clip(min=1.0)).reshape(-1, *variable.shape)
        error = marginal.pmf_mcse
        out[name] = replace(
            marginal, mcse=marginal.mcse * wider, pmf_mcse=None if error is None else error * wider[..., None]
        )
    return out
