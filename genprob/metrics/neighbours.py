"""Nearest neighbours in the training rows, of draws and of rows that were held out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from genprob.metrics.scale import distances

_AT_ONCE = 10_000_000


@dataclass(frozen=True)
class Closeness:
    """How the distances of draws to their nearest training row compare with those of held-out rows.

    Attributes:
        nearer: probability that a draw is nearer than a held-out row, ties counted half.
        error: its standard error.
        p_value: of draws being so near by chance, one-sided.
    """

    nearer: float
    error: float
    p_value: float


def nearest(points: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Distance of each point `[row, coordinate]` to its nearest training point, NaN where none is comparable."""
    return nearest_rows(points, train)[1]


def nearest_rows(
    points: np.ndarray, train: np.ndarray, without: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Which training point is nearest to each point, and its distance, NaN where none is comparable.

    Arguments:
        points: `[row, coordinate]`.
        train: `[row, coordinate]`.
        without: `[row]` the training point that is left out for each point, such as itself.
    """
    step = max(1, _AT_ONCE // max(len(train), 1))
    which, out = np.zeros(len(points), dtype=np.int64), np.full(len(points), np.nan)
    for first in range(0, len(points), step):
        part = slice(first, min(first + step, len(points)))
        found = distances(points[part], train)
        found[np.isnan(found)] = np.inf
        if without is not None:
            found[np.arange(len(found)), without[part]] = np.inf
        which[part] = found.argmin(1)
        out[part] = found[np.arange(len(found)), which[part]]
    return which, np.where(np.isinf(out), np.nan, out)


def closeness(draws: np.ndarray, held_out: np.ndarray) -> Closeness:
    """Mann and Whitney's comparison of two sets of nearest distances.

    (Meehan, Chaudhuri and Dasgupta, "A non-parametric test to detect data-copying in generative models", 2020.)
    """
    from scipy import stats

    draws, held_out = draws[~np.isnan(draws)], held_out[~np.isnan(held_out)]
    n, m = len(draws), len(held_out)
    test = stats.mannwhitneyu(draws, held_out, alternative="less")
    nearer = 1 - float(test.statistic) / (n * m)
    below = (draws[:, None] < held_out) + 0.5 * (draws[:, None] == held_out)
    error = np.sqrt(below.mean(1).var(ddof=1) / n + below.mean(0).var(ddof=1) / m)
    return Closeness(nearer, float(error), float(test.pvalue))
