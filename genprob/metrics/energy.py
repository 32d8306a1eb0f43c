"""The energy score of draws against a truth, and the energy distance between two samples."""

from __future__ import annotations

import numpy as np


def fair_energy(draws: np.ndarray, truth: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Fair energy score `[row]` of each row's missing cells, over the root of their number; NaN where none is.

    Arguments:
        draws: `[row, draw, cell]`, on scales that can be compared.
        truth: `[row, cell]`.
        missing: `[row, cell]`, which cells were drawn.

    The multivariate CRPS (Gneiting and Raftery, "Strictly proper scoring rules, prediction, and estimation", 2007),
    with pairs of draws as in `fair_crps`, so unbiased for any number of draws; lower is better.
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


def energy_distance(distances: np.ndarray, first: np.ndarray) -> np.ndarray:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'| without bias, for each way `[way, item]` to part the items in two.

    Arguments:
        distances: `[item, item]` between all items.
        first: `[way, item]` bool, which items are of the first sample; the rest are of the second.

    (Szekely and Rizzo, "Energy statistics: a class of statistics based on distances", 2013.)
    """
    one = first.astype(float)
    two = 1.0 - one
    n, m = one.sum(1), two.sum(1)
    to_one, to_two = one @ distances, two @ distances
    across = (to_one * two).sum(1) / (n * m)
    return 2 * across - (to_one * one).sum(1) / (n * (n - 1)) - (to_two * two).sum(1) / (m * (m - 1))
