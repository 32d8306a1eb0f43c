"""The rank of the truth among draws: uniform if, and in all its projections only if, the draws' law is right."""

from __future__ import annotations

import numpy as np

from genprob.query.ranks import rank


def pit(draws: np.ndarray, truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Probability integral transform `[row, cell]` of truths among `[row, draw, cell]` draws; NaN where the truth is.

    The randomised rank (R + U) / (S + 1), ties broken at random, U uniform: where truth and draws come from one law it
    is exactly uniform, for discrete and rounded values and for any number of draws (Czado, Gneiting and Held,
    "Predictive model assessment for count data", 2009).

    >>> values = pit(np.zeros((4, 9, 1)), np.ones((4, 1)), np.random.default_rng(0))
    >>> bool((values > 0.9).all())
    True
    """
    among = rank(truth, np.moveaxis(draws, 1, -1), rng)
    return np.where(np.isnan(truth), np.nan, (among + rng.random(truth.shape)) / (draws.shape[1] + 1))


def inside(ranks: np.ndarray, level: float) -> np.ndarray:
    """Whether the central interval of that level holds the truth, 1 or 0; NaN where the rank is.

    >>> inside(np.array([0.5, 0.01, np.nan]), 0.9).tolist()
    [1.0, 0.0, nan]
    """
    return np.where(np.isnan(ranks), np.nan, np.abs(ranks - 0.5) <= level / 2)


def kolmogorov(ranks: np.ndarray) -> tuple[float, float]:
    """Kolmogorov's distance of known ranks from the uniform law, and the probability of a larger one by chance."""
    from scipy import stats

    known = ranks[~np.isnan(ranks)]
    if not known.size:
        return float("nan"), float("nan")
    found = stats.kstest(known, "uniform")
    return float(found.statistic), float(found.pvalue)
