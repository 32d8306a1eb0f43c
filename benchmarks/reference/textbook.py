"""The same exact conditional as the formulas are printed: row by row, component by component, with scipy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.stats import multivariate_normal

from benchmarks.reference.conditional_mixture import Codes, Floats, Parameters


def conditional(
    mixture: Parameters, reals: Floats, codes: Codes, observed: NDArray[np.bool_], draws: int, rng: np.random.Generator
) -> tuple[Floats, Codes]:
    """Draws of one row `[draws, d]` and `[draws, c]`; `observed` `[d + c]` says which cells are given."""
    width = mixture.means.shape[1]
    given, hidden = np.flatnonzero(observed[:width]), np.flatnonzero(~observed[:width])
    log_weights = np.log(mixture.weights)
    centres, spreads = [], []
    for k, (mean, covariance) in enumerate(zip(mixture.means, mixture.covariances, strict=True)):
        centre, spread = mean[hidden], covariance[np.ix_(hidden, hidden)]
        if len(given):
            block, cross = covariance[np.ix_(given, given)], covariance[np.ix_(given, hidden)]
            log_weights[k] += multivariate_normal.logpdf(reals[given], mean[given], block)
            if len(hidden):
                gain = cho_solve(cho_factor(block), cross)
                centre = centre + gain.T @ (reals[given] - mean[given])
                spread = spread - gain.T @ cross
        for j, table in enumerate(mixture.tables):
            if observed[width + j]:
                log_weights[k] += np.log(table[k, codes[j]])
        centres.append(centre)
        spreads.append(spread)
    weights = np.exp(log_weights - log_weights.max())
    drawn_reals, drawn_codes = np.repeat(reals[None], draws, axis=0), np.repeat(codes[None], draws, axis=0)
    chosen = rng.choice(len(weights), size=draws, p=weights / weights.sum())
    for k in np.unique(chosen):
        rows = np.flatnonzero(chosen == k)
        if len(hidden):
            root = np.linalg.cholesky(spreads[k])
            drawn_reals[np.ix_(rows, hidden)] = centres[k] + rng.standard_normal((len(rows), len(hidden))) @ root.T
        for j, table in enumerate(mixture.tables):
            if not observed[width + j]:
                drawn_codes[rows, j] = rng.choice(table.shape[1], size=len(rows), p=table[k])
    return drawn_reals, drawn_codes


def answer(
    mixture: Parameters, reals: Floats, codes: Codes, observed: NDArray[np.bool_], draws: int, seed: int
) -> tuple[Floats, Codes]:
    """Draws of every row, `[n, draws, d]` and `[n, draws, c]`."""
    rng = np.random.default_rng(seed)
    rows = [conditional(mixture, *row, draws, rng) for row in zip(reals, codes, observed, strict=True)]
    return np.stack([drawn for drawn, _ in rows]), np.stack([drawn for _, drawn in rows])
