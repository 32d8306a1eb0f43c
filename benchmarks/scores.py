"""Scores of draws against the truth that was hidden, as the benchmarks tabulate them.

Shapes: draws `[n, draws, d]`, truth and missing `[n, d]`. Every score keeps one number per row or cell, so that two
methods can be compared pairwise over the same rows (`genprob.metrics.bootstrap`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genprob.metrics.crps import fair_crps
from genprob.metrics.energy import fair_energy
from genprob.metrics.log_loss import log_loss
from genprob.metrics.ranks import pit

Floats = NDArray[np.float64]


def covered(draws: Floats, truth: Floats, level: float = 0.9) -> NDArray[np.bool_]:
    """Whether the central interval of the draws holds the truth, per cell `[n, d]`."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=1)
    return (low <= truth) & (truth <= high)


@dataclass(frozen=True)
class Scores:
    """What one method scored on one set of queries. NaN marks cells that were given. Lower is better but for cover."""

    crps: Floats  # [n, reals], in training standard deviations
    energy: Floats  # [n]
    error: Floats  # [n, reals], the draws' mean minus the truth
    inside: Floats  # [n, reals], 1 where the 5-95 % interval holds the truth
    log_loss: Floats  # [n, categories], nats
    ranks: Floats  # [n, reals + categories], randomised ranks of the truth among the draws, uniform if calibrated

    def summary(self) -> dict[str, float]:
        """The numbers of a table's row: means over the missing cells (rows for the energy score)."""
        return {
            "CRPS": float(np.nanmean(self.crps)),
            "energy": float(np.nanmean(self.energy)),
            "NRMSE": float(np.sqrt(np.nanmean(self.error**2))),
            "cover 90": float(np.nanmean(self.inside)),
            "log-loss": float(np.nanmean(self.log_loss)),
        }


def score(
    reals: Floats,
    categories: NDArray[np.integer],
    true_reals: Floats,
    true_categories: NDArray[np.integer],
    missing: NDArray[np.bool_],
    levels: NDArray[np.integer],
) -> Scores:
    """Score draws of a mixed table; `missing` covers the reals, then the categories; reals are standardised."""
    rng = np.random.default_rng(0)
    truth = np.where(missing, np.concatenate([true_reals, true_categories], axis=1), np.nan)
    hidden, unlabelled = missing[:, : true_reals.shape[1]], missing[:, true_reals.shape[1] :]
    return Scores(
        crps=np.where(hidden, fair_crps(reals, true_reals), np.nan),
        energy=fair_energy(reals, true_reals, hidden),
        error=np.where(hidden, reals.mean(axis=1) - true_reals, np.nan),
        inside=np.where(hidden, covered(reals, true_reals), np.nan),
        log_loss=np.where(unlabelled, log_loss(categories, true_categories, levels), np.nan),
        ranks=pit(np.concatenate([reals, categories], axis=2), truth, rng),
    )
