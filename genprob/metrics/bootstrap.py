"""Intervals by resampling rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_AT_ONCE = 4_000_000
"""Row numbers that are drawn at once."""


def paired_bootstrap(
    ours: np.ndarray, theirs: np.ndarray, resamples: int = 2000, seed: int = 0, level: float = 0.95
) -> tuple[float, float, float]:
    """The mean difference ours - theirs and the ends of its percentile interval, rows resampled together.

    Arguments:
        ours, theirs: one score per row `[row]` or cell `[row, cell]`, NaN at the same places.
        resamples: how often.
        seed: the same seed gives the same interval.
        level: of the interval.

    (Efron and Tibshirani, "An introduction to the bootstrap", 1993.)
    """
    difference = (ours - theirs).reshape(len(ours), -1)
    total, number = np.nansum(difference, axis=1), (~np.isnan(difference)).sum(axis=1)
    means = resampled(len(ours), lambda rows: total[rows].sum(1) / number[rows].sum(1), resamples, seed)
    low, high = np.nanquantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(total.sum() / number.sum()), float(low), float(high)


def resampled(rows: int, statistic: Callable[[np.ndarray], np.ndarray], resamples: int, seed: int) -> np.ndarray:
    """A statistic of `[resample, row]` row numbers drawn with replacement, `[resample, ...]`."""
    rng = np.random.default_rng(seed)
    step = max(1, _AT_ONCE // max(rows, 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        parts = [
            statistic(rng.integers(rows, size=(min(step, resamples - first), rows)))
            for first in range(0, resamples, step)
        ]
    return np.concatenate(parts)
