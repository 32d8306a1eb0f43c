"""Importance sampling: properly weighted proposals near the evidence, judged by their weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from genprob.query import diagnostics
from genprob.query.batch import QueryBatch
from genprob.query.capabilities import Cloud, Proposes
from genprob.query.strategy import PARTICLES, Answers, Offer, Refusal

if TYPE_CHECKING:
    from genprob.joint import Joint

LEAST_ESS = 100.0
_MOST_CELLS = 16
"""Cells of an array target whose k-hats are looked at."""


class Importance:
    """Self-normalised importance sampling from the model's own proposals, which cover the support.

    The particles are two independent halves: their log-evidences must agree within their errors, the effective
    sample size must be large, and where it is below half the particles (nearly equal weights have no tail to speak
    of) the Pareto k-hat of every target's mean (of a discrete target's indicators) must be small, or the computation
    counts as failed. Draws and marginals rest on Pareto smoothed weights, the evidence on the weights as they are,
    whose mean has no bias.

    See also: Vehtari, Simpson, Gelman, Yao and Gabry 2024, Pareto smoothed importance sampling.
    """

    name = "importance"
    roles = True
    least_ess = LEAST_ESS

    def offer(self, joint: Joint, queries: QueryBatch) -> list[Offer | Refusal]:
        if not isinstance(joint.model, Proposes):
            return [Refusal("the model proposes nothing near evidence", lacking=True)] * len(queries)
        reason = "the model proposes near the evidence and knows the weights"
        return [Offer("consistent", joint.model.law, "particles", float(PARTICLES), reason)] * len(queries)

    def answer(self, joint: Joint, queries: QueryBatch, draws: int, budget: int | None) -> Answers:
        assert isinstance(joint.model, Proposes)
        particles = max(2, budget or PARTICLES)
        cloud = joint.model.propose(queries, particles)
        log_weight = cloud.log_weight.cpu().numpy()
        possible = np.asarray(np.isfinite(log_weight).any(1))
        smooth = diagnostics.pareto_smooth(log_weight)
        safe = np.where(possible[:, None], smooth, 0.0)
        share = torch.as_tensor(np.exp(safe - safe.max(1, keepdims=True)))
        index = torch.multinomial(share, draws, replacement=True).to(cloud.log_weight.device)
        ess = diagnostics.effective_sample_size(log_weight)
        khat, worst = _khat(cloud, queries, log_weight)
        cloud.log_weight = torch.as_tensor(smooth).to(cloud.log_weight)
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
            failures=_failures(log_weight, possible, ess, khat, worst),
        )


def _khat(cloud: Cloud, queries: QueryBatch, log_weight: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """The worst k-hat of each query over its targets' means, or indicators, and which target has it."""
    worst = diagnostics.pareto_k(log_weight)
    names = ["the weights"] * len(worst)
    index = torch.arange(log_weight.shape[1], device=cloud.log_weight.device).expand(len(worst), -1)
    values = cloud.draw(index) if queries.targets else None
    for name in queries.targets:
        assert values is not None
        variable, columns = queries.schema[name], queries.schema.slices[name]
        for j in range(columns.start, columns.stop)[:_MOST_CELLS]:
            x = values[..., j]
            levels = variable.cardinality
            functionals = [x] if levels is None else [(x == level).astype(np.float64) for level in range(levels)]
            for h in functionals[: 1 if levels == 2 else None]:
                asked = queries.asked[:, j] & np.isfinite(h).all(1)
                k = np.full(len(worst), np.nan)
                k[asked] = diagnostics.pareto_k_of(log_weight[asked], h[asked]) if asked.any() else np.nan
                for q in np.flatnonzero(k > np.nan_to_num(worst, nan=-np.inf)):
                    worst[q], names[q] = k[q], repr(name)
    return worst, names


def _failures(
    log_weight: np.ndarray, possible: np.ndarray, ess: np.ndarray, khat: np.ndarray, worst: list[str]
) -> list[str]:
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
            out.append(f"Pareto k-hat {khat[q]:.2f} of {worst[q]} is above {acceptable:.2f} ({particles} particles)")
        elif ess[q] < min(LEAST_ESS, particles / 4):
            out.append(f"effective sample size {ess[q]:.0f} of {particles} particles is below {LEAST_ESS:.0f}")
        elif abs(means[0][q] - means[1][q]) > 5 * spread[q] + 0.02:
            out.append(f"two halves disagree on the log-evidence: {means[0][q]:.3f} and {means[1][q]:.3f}")
        else:
            out.append("")
    return out
