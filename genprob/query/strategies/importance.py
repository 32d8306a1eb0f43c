"""Importance sampling: properly weighted proposals near the evidence, judged by their weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from genprob.query import diagnostics
from genprob.query.batch import QueryBatch
from genprob.query.capabilities import Proposes
from genprob.query.strategy import Answers, Offer, Refusal

if TYPE_CHECKING:
    from genprob.joint import Joint

PARTICLES = 1024
LEAST_ESS = 100.0


class Importance:
    """Self-normalised importance sampling from the model's own proposals, which cover the support.

    The particles are two independent halves: their log-evidences must agree within their errors, the effective
    sample size must be large, and where it is below half the particles (nearly equal weights have no tail to speak
    of) the Pareto k-hat must be small, or the computation counts as failed.
    """

    name = "importance"

    def offer(self, joint: Joint, queries: QueryBatch) -> list[Offer | Refusal]:
        if not isinstance(joint.model, Proposes):
            return [Refusal("the model proposes nothing near evidence")] * len(queries)
        reason = "the model proposes near the evidence and knows the weights"
        return [Offer("consistent", "joint", "particles", float(PARTICLES), reason)] * len(queries)

    def answer(self, joint: Joint, queries: QueryBatch, draws: int, budget: int | None) -> Answers:
        assert isinstance(joint.model, Proposes)
        particles = max(2, budget or PARTICLES)
        cloud = joint.model.propose(queries, particles)
        log_weight = cloud.log_weight.cpu().numpy()
        possible = np.asarray(np.isfinite(log_weight).any(1))
        safe = np.where(possible[:, None], log_weight, 0.0)
        share = torch.as_tensor(np.exp(safe - safe.max(1, keepdims=True)))
        index = torch.multinomial(share, draws, replacement=True).to(cloud.log_weight.device)
        ess = diagnostics.effective_sample_size(log_weight)
        khat = diagnostics.pareto_k(log_weight)
        error = diagnostics.log_mean_error(log_weight)
        evidence = np.logaddexp.reduce(log_weight, axis=1)
        return Answers(
            values=cloud.draw(index)[:, None],
            marginals=cloud.marginals(queries.targets),
            log_evidence=evidence,
            log_evidence_se=error,
            ess=ess,
            khat=khat,
            rhat=np.full(len(queries), np.nan),
            failures=_failures(log_weight, possible, ess, khat),
        )


def _failures(log_weight: np.ndarray, possible: np.ndarray, ess: np.ndarray, khat: np.ndarray) -> list[str]:
    particles = log_weight.shape[1]
    halves = log_weight[:, ::2], log_weight[:, 1::2]
    means = [np.logaddexp.reduce(h, axis=1) - np.log(h.shape[1]) for h in halves]
    acceptable = diagnostics.acceptable_k(particles)
    spread = np.sqrt(sum(diagnostics.log_mean_error(h) ** 2 for h in halves))
    out = []
    for q in range(len(log_weight)):
        if not possible[q]:
            out.append(f"no proposal of {particles} met the evidence; it may have probability zero under the joint")
        elif khat[q] >= acceptable and ess[q] < particles / 2:
            out.append(f"Pareto k-hat {khat[q]:.2f} of {particles} weights is above {acceptable:.2f}")
        elif ess[q] < min(LEAST_ESS, particles / 4):
            out.append(f"effective sample size {ess[q]:.0f} of {particles} particles is below {LEAST_ESS:.0f}")
        elif abs(means[0][q] - means[1][q]) > 5 * spread[q] + 0.02:
            out.append(f"two halves disagree on the log-evidence: {means[0][q]:.3f} and {means[1][q]:.3f}")
        else:
            out.append("")
    return out
