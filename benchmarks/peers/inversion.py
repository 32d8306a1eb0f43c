"""Draws from predicted quantiles. Imported by processes of other environments: numpy only."""

from __future__ import annotations

import numpy as np


def invert(levels: np.ndarray, quantiles: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """The quantile function at `uniform [n, draws]`, linear between `quantiles [n, level]`, `[n, draws]`.

    Beyond the outermost levels the line through the last two goes on. Crossing quantiles are sorted.
    """
    ascending = np.sort(quantiles, axis=1)
    upper = np.clip(np.searchsorted(levels, uniform), 1, len(levels) - 1)
    low, high = (np.take_along_axis(ascending, at, axis=1) for at in (upper - 1, upper))
    share = (uniform - levels[upper - 1]) / (levels[upper] - levels[upper - 1])
    return low + share * (high - low)


def snapped(values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Each value moved to the nearest of an ascending grid."""
    middles = (grid[1:] + grid[:-1]) / 2
    return grid[np.searchsorted(middles, values)]
