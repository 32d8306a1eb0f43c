"""How well Markov chains mix: cells visited, returns to them, autocorrelation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Estimate:
    """Numbers with their standard errors, both of one shape; NaN where there is none."""

    value: np.ndarray
    error: np.ndarray


def visited(cells: np.ndarray, window: int) -> Estimate:
    """Mean number of different cells among `window` consecutive positions of a chain.

    Arguments:
        cells: `[step, chain]` integers.
        window: at most the number of steps; windows do not overlap.

    >>> visited(np.array([[0], [1], [0], [0]]), 2).value
    array(1.5)
    """
    count = len(cells) // window
    parts = np.sort(cells[: count * window].reshape(count, window, -1), axis=1)
    different = 1 + (np.diff(parts, axis=1) != 0).sum(1)
    return _over_chains(different.mean(0))


def expected_visits(share: np.ndarray, draws: int) -> float:
    """Mean number of different cells among independent draws from cells of these probabilities.

    >>> expected_visits(np.array([0.5, 0.5]), 2)
    1.5
    """
    return float((1 - (1 - share) ** draws).sum())


def changes(cells: np.ndarray, window: int) -> Estimate:
    """Mean number of changes of cell in `window` steps of `[step, chain]` cells."""
    return _over_chains(window * (np.diff(cells, axis=0) != 0).mean(0))


def return_times(cells: np.ndarray, number: int) -> tuple[Estimate, np.ndarray]:
    """Mean number of steps from one entry of each cell to the next, `[cell]`, and how many entries were seen.

    All steps over all entries, so that chains which have not come back yet count with the time they have waited; NaN
    for cells that were never entered. Independent draws take 1 / (p (1 - p)) steps for a cell of probability p.

    >>> found, entries = return_times(np.array([[0, 1, 1, 0, 1, 0, 0, 1, 0]]).T, 2)
    >>> found.value.tolist(), entries.tolist()
    ([2.6666666666666665, 2.6666666666666665], [3, 3])
    """
    steps = len(cells) - 1
    entered = (cells[1:] != cells[:-1])[None] & (cells[1:][None] == np.arange(number)[:, None, None])
    each = entered.sum(1)  # [cell, chain]
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = _over_chains(each / steps)
        value = np.where(each.sum(1) > 0, 1 / rate.value, np.nan)
        return Estimate(value, value**2 * rate.error), each.sum(1)


def autocorrelation(points: np.ndarray, lags: Sequence[int]) -> Estimate:
    """Autocorrelation of chains `[step, chain, coordinate]` at each lag: summed covariances over summed variances.

    Mean and variance are those of all chains together, so that chains stuck in different places show 1.

    >>> autocorrelation(np.array([1.0, -1.0] * 50)[:, None, None], [0, 1, 2]).value.round(6).tolist()
    [1.0, -1.0, 1.0]
    """
    off = points - points.mean((0, 1))
    variance = float((off**2).sum(2).mean())
    each = [(off[: len(off) - lag] * off[lag:]).sum(2).mean(0) for lag in lags]
    with np.errstate(divide="ignore", invalid="ignore"):
        return _over_chains(np.stack(each) / variance)


def _over_chains(each: np.ndarray) -> Estimate:
    """The mean over the last axis, with the error that the chains' own spread gives."""
    chains = each.shape[-1]
    error = each.std(-1, ddof=1) / np.sqrt(chains) if chains > 1 else np.full(each.shape[:-1], np.nan)
    return Estimate(np.asarray(each.mean(-1)), np.asarray(error))
