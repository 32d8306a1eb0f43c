"""The exact conditional of a mixture of Gaussians x categoricals, one row at a time in numpy.

What a careful reader would write from the formulas, every step vectorised over the components:
weights from the marginal density of the given cells, components drawn from them, then each component's conditional
Gaussian and label tables.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.integer]


@dataclass(frozen=True)
class Parameters:
    """A fitted mixture: weights `[k]`, means `[k, d]`, covariances `[k, d, d]`, label tables `[k, levels]`."""

    weights: Floats
    means: Floats
    covariances: Floats
    tables: tuple[Floats, ...] = ()


def conditional(
    mixture: Parameters, reals: Floats, codes: Codes, observed: NDArray[np.bool_], draws: int, rng: np.random.Generator
) -> tuple[Floats, Codes]:
    """Draws of one row `[draws, d]` and `[draws, c]`; `observed` `[d + c]` says which cells are given."""
    width = mixture.means.shape[1]
    given, hidden = np.flatnonzero(observed[:width]), np.flatnonzero(~observed[:width])
    residual = reals[given] - mixture.means[:, given]
    cross = mixture.covariances[:, given[:, None], hidden]
    root = np.linalg.cholesky(mixture.covariances[:, given[:, None], given])
    # one triangular system for both the density and the regression
    whitened = np.linalg.solve(root, np.concatenate([residual[..., None], cross], axis=2))
    score, gain = whitened[..., 0], whitened[..., 1:]

    log_weights = np.log(mixture.weights) - (score**2).sum(axis=1) / 2
    log_weights -= np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
    for j, table in enumerate(mixture.tables):
        if observed[width + j]:
            log_weights += np.log(table[:, codes[j]])
    responsibilities = np.exp(log_weights - log_weights.max())
    chosen = rng.choice(len(responsibilities), size=draws, p=responsibilities / responsibilities.sum())

    drawn_reals = np.repeat(reals[None], draws, axis=0)
    if len(hidden):
        centre = mixture.means[:, hidden] + np.einsum("kou,ko->ku", gain, score)
        spread = mixture.covariances[:, hidden[:, None], hidden] - np.einsum("kou,kov->kuv", gain, gain)
        spread_root = np.linalg.cholesky(spread)
        noise = rng.standard_normal((draws, len(hidden)))
        drawn_reals[:, hidden] = centre[chosen] + np.einsum("suv,sv->su", spread_root[chosen], noise)
    drawn_codes = np.repeat(codes[None], draws, axis=0)
    for j, table in enumerate(mixture.tables):
        if not observed[width + j]:
            cumulated = table[chosen].cumsum(axis=1)
            drawn_codes[:, j] = (rng.random((draws, 1)) * cumulated[:, -1:] > cumulated).sum(axis=1)
    return drawn_reals, drawn_codes


def answer(
    mixture: Parameters, reals: Floats, codes: Codes, observed: NDArray[np.bool_], draws: int, seed: int
) -> tuple[Floats, Codes]:
    """Draws of every row, `[n, draws, d]` and `[n, draws, c]`."""
    rng = np.random.default_rng(seed)
    rows = [
        conditional(mixture, row, labels, seen, draws, rng)
        for row, labels, seen in zip(reals, codes, observed, strict=True)
    ]
    return np.stack([drawn for drawn, _ in rows]), np.stack([drawn for _, drawn in rows])
