"""Ranks of truths among draws: uniform where the draws come from the right conditional."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.stats import binom

_NULL_DRAWS = 4000


def rank(truth: np.ndarray, draws: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """How many of `draws [..., L]` lie below `truth [...]`, ties broken at random: 0..L."""
    below = (draws < truth[..., None]).sum(-1)
    ties = (draws == truth[..., None]).sum(-1)
    return below + rng.integers(0, ties + 1)


def uniformity(ranks: np.ndarray, most: int) -> float:
    """p-value of the hypothesis that ranks are uniform on 0..most, by a simultaneous band of their distribution.

    The statistic is the smallest two-sided binomial tail over the whole cumulative distribution (Säilynoja, Bürkner
    and Vehtari 2022, Graphical test for discrete uniformity and its applications); its null law is simulated. 1 for
    fewer than 10 ranks.
    """
    n = len(ranks)
    if n < 10:
        return 1.0
    null = _null(n, most)
    return float((1 + (null <= _statistic(ranks[None], n, most)[0]).sum()) / (1 + len(null)))


def band(n: int, most: int, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """The simultaneous band: lower and upper counts of ranks <= 0..most that hold together with probability `level`."""
    gamma = np.quantile(_null(n, most), 1 - level)
    share = np.arange(1, most + 2) / (most + 1)
    return binom.ppf(gamma / 2, n, share), binom.ppf(1 - gamma / 2, n, share)


def _statistic(ranks: np.ndarray, n: int, most: int) -> np.ndarray:
    """Smallest two-sided tail probability of each row's cumulative counts."""
    counts = np.stack([np.bincount(r, minlength=most + 1) for r in ranks]).cumsum(1)[:, :-1]
    return _tails(n, most)[np.arange(most), counts].min(1)


@lru_cache(maxsize=64)
def _tails(n: int, most: int) -> np.ndarray:
    """Two-sided tail probability of every count 0..n at every point of the distribution, `[most, n + 1]`."""
    share = (np.arange(1, most + 1) / (most + 1))[:, None]
    count = np.arange(n + 1)[None]
    return np.minimum(1.0, 2 * np.minimum(binom.cdf(count, n, share), binom.sf(count - 1, n, share)))


@lru_cache(maxsize=64)
def _null(n: int, most: int) -> np.ndarray:
    rng = np.random.default_rng(n * 1009 + most)
    return _statistic(rng.integers(0, most + 1, size=(_NULL_DRAWS, n)), n, most)
