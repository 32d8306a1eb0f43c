"""Scores of draws against the truth that was hidden. Shapes: draws `[n, draws, d]`, truth and missing `[n, d]`.

Every score keeps one number per row or cell, so that two methods can be compared pairwise over the same rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def fair_crps(draws: Floats, truth: Floats) -> Floats:
    """The fair ensemble CRPS of every cell `[n, d]`: E|X - y| - E|X - X'|/2 with pairs divided by S(S - 1).

    Unbiased in the number of draws: its mean is the CRPS of the law that the draws come from (Ferro, "Fair scores for
    ensemble forecasts", 2014).
    """
    count = draws.shape[1]
    ranks = 2.0 * np.arange(1, count + 1) - count - 1
    spread = 2 * np.einsum("s,nsd->nd", ranks, np.sort(draws, axis=1)) / (count * (count - 1))
    return np.abs(draws - truth[:, None]).mean(axis=1) - spread / 2


def fair_energy(draws: Floats, truth: Floats, missing: NDArray[np.bool_]) -> Floats:
    """The fair energy score of each row's missing reals, divided by the root of their number `[n]`; NaN where none is.

    (Gneiting and Raftery, "Strictly proper scoring rules, prediction, and estimation", 2007; pairs as in `fair_crps`.)
    """
    count = draws.shape[1]
    scores = np.full(len(draws), np.nan)
    for row in np.flatnonzero(missing.any(axis=1)):
        hidden = np.flatnonzero(missing[row])
        cloud = draws[row][:, hidden] - truth[row, hidden]  # centred at the truth: distances do not change
        norms = (cloud**2).sum(axis=1)
        pairs = np.sqrt(np.maximum(norms[:, None] + norms - 2 * cloud @ cloud.T, 0.0))
        np.fill_diagonal(pairs, 0.0)
        score = np.sqrt(norms).mean() - pairs.sum() / (2 * count * (count - 1))
        scores[row] = score / np.sqrt(len(hidden))
    return scores


def log_loss(draws: NDArray[np.integer], truth: NDArray[np.integer], levels: NDArray[np.integer]) -> Floats:
    """-log of the smoothed share of draws that hit the true label, (count + 1/2) / (S + K/2), per cell `[n, d]`."""
    hits = (draws == truth[:, None]).sum(axis=1)
    return -np.log((hits + 0.5) / (draws.shape[1] + 0.5 * levels))


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
    hidden, unlabelled = missing[:, : true_reals.shape[1]], missing[:, true_reals.shape[1] :]
    return Scores(
        crps=np.where(hidden, fair_crps(reals, true_reals), np.nan),
        energy=fair_energy(reals, true_reals, hidden),
        error=np.where(hidden, reals.mean(axis=1) - true_reals, np.nan),
        inside=np.where(hidden, covered(reals, true_reals), np.nan),
        log_loss=np.where(unlabelled, log_loss(categories, true_categories, levels), np.nan),
    )


def paired_bootstrap(
    ours: Floats, theirs: Floats, resamples: int = 2000, seed: int = 0, level: float = 0.95
) -> tuple[float, float, float]:
    """The mean difference ours - theirs and the ends of its percentile interval, rows resampled together.

    Arguments: ours, theirs: one score per cell `[n, d]` or row `[n]`, NaN at the same places.
    """
    difference = (ours - theirs).reshape(len(ours), -1)
    total, number = np.nansum(difference, axis=1), np.isfinite(difference).sum(axis=1)
    rows = np.random.default_rng(seed).integers(len(ours), size=(resamples, len(ours)))
    means = total[rows].sum(axis=1) / number[rows].sum(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(total.sum() / number.sum()), float(low), float(high)
