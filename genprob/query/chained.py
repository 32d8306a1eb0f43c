"""Answers from chains: their draws, judged by R-hat and the effective number of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from genprob.engine.diagnostics.ess import ess_bulk
from genprob.engine.diagnostics.rhat import rhat
from genprob.query.strategy import Answers
from genprob.results.record import Marginal

MOST_RHAT = 1.01
LEAST_ESS = 100.0


def answers(
    values: np.ndarray,
    marginals: dict[str, Marginal],
    watched: Tensor,
    *,
    draws: int,
    lost: np.ndarray,
    stats: dict[str, np.ndarray],
) -> Answers:
    """Draws of chains as an answer.

    Arguments:
        values: `[Q, kept * chains, width]`, one row for each kept position of each chain, in any order.
        marginals: of those positions, with errors as if they were independent.
        watched: `[kept, chains, Q, functionals]` what the chains must agree on.
        draws: how many are returned a query.
        lost: `[Q]` where no chain could begin.
        stats: what else to tell, `[Q]` each.
    """
    queries, total, _ = values.shape
    worst = torch.nan_to_num(rhat(watched), nan=torch.inf, posinf=torch.inf).amax(-1).cpu().numpy()
    ess = torch.nan_to_num(ess_bulk(watched), nan=0.0).amin(-1).clamp(max=total).cpu().numpy()
    index = torch.stack([torch.randperm(total)[torch.arange(draws) % total] for _ in range(queries)]).numpy()
    drawn = np.take_along_axis(values, index[..., None], 1)
    drawn[lost] = np.nan
    factor = np.sqrt(total / np.maximum(ess, 1.0))
    blank = np.full(queries, np.nan)
    return Answers(
        values=drawn[:, None],
        marginals={name: wider(marginal, factor) for name, marginal in marginals.items()},
        log_evidence=blank,
        log_evidence_se=blank,
        ess=np.where(lost, 0.0, ess),
        khat=blank,
        rhat=worst,
        failures=[_failure(lost[q], worst[q], ess[q]) for q in range(queries)],
        stats=stats,
    )


def _failure(lost: bool, worst: float, ess: float) -> str:
    if lost:
        return "no chain could begin where the evidence is met"
    if not worst < MOST_RHAT:
        return f"R-hat {worst:.3f} of the chains is above {MOST_RHAT}"
    return f"{ess:.0f} effective draws are fewer than {LEAST_ESS:.0f}" if ess < LEAST_ESS else ""


def wider(marginal: Marginal, factor: np.ndarray) -> Marginal:
    """The marginal with its errors `factor [Q]` times as large."""

    def scaled(error: np.ndarray | None) -> np.ndarray | None:
        return None if error is None else error * factor.reshape(-1, *[1] * (error.ndim - 1))

    mcse = scaled(marginal.mcse)
    assert mcse is not None
    return replace(marginal, mcse=mcse, pmf_mcse=scaled(marginal.pmf_mcse))
