"""Choices by log-weight, and draws of a density that is known at the nodes of a line."""

from __future__ import annotations

import numpy as np


def choose(log_weight: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Indices `[Q, draws]` in proportion to `exp(log_weight [Q, K])`; anything where all weights are zero."""
    peak = log_weight.max(1, keepdims=True)
    weight = np.exp(log_weight - np.where(np.isfinite(peak), peak, 0.0))
    rows = np.repeat(np.arange(len(weight)), draws)
    return pick(weight, rows, rng.random(len(rows))).reshape(-1, draws)


def pick(weight: np.ndarray, rows: np.ndarray, u: np.ndarray) -> np.ndarray:
    """For each `rows [n]` of `weight [R, K]` the index at level `u [n]` of its cumulative weights."""
    cumulative = weight.cumsum(1)
    total = np.maximum(cumulative[:, -1:], 1e-300)
    # One ascending list for all rows: row r fills [r, r + 1].
    steps = cumulative / total + np.arange(len(weight))[:, None]
    found = np.searchsorted(steps.reshape(-1), rows + u * (1 - 1e-12), side="right") - rows * weight.shape[1]
    return np.clip(found, 0, weight.shape[1] - 1)


def logsumexp(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """`log(sum(exp(x)))` along an axis; -inf where all terms are."""
    peak = x.max(axis=axis, keepdims=True)
    peak = np.where(np.isfinite(peak), peak, 0.0)
    with np.errstate(divide="ignore"):
        return np.log(np.exp(x - peak).sum(axis=axis)) + np.squeeze(peak, axis=axis)


def along(nodes: np.ndarray, density: np.ndarray, rows: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Draws of the density that is linear between nodes.

    Arguments:
        nodes: `[R, G]` ascending.
        density: `[R, G]` at the nodes, in any unit.
        rows: `[n]` which row each draw is of.
        u: `[2, n]` uniform numbers.

    Returns the draws `[n]` and the density there, in the same unit.
    """
    gap = np.diff(nodes, axis=1)
    segment = pick(0.5 * (density[:, 1:] + density[:, :-1]) * gap, rows, u[0])
    left, right = density[rows, segment], density[rows, segment + 1]
    # Within a segment the distribution function is left t + (right - left) t^2 / 2.
    whole = 0.5 * (left + right) * u[1]
    t = 2 * whole / np.maximum(left + np.sqrt(np.maximum(left**2 + 2 * (right - left) * whole, 0.0)), 1e-300)
    t = np.clip(t, 0.0, 1.0)
    return nodes[rows, segment] + t * gap[rows, segment], left + t * (right - left)
