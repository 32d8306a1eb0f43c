"""The log-loss of labels."""

from __future__ import annotations

import numpy as np


def log_loss(draws: np.ndarray, truth: np.ndarray, levels: np.ndarray | int) -> np.ndarray:
    """-log of the smoothed share of draws that hit the true label, per cell `[row, cell]`, in nats.

    Arguments:
        draws: `[row, draw, cell]` codes.
        truth: `[row, cell]` codes.
        levels: number of labels K, of each cell or of all.

    The share is (count + 1/2) / (S + K/2), the posterior mean under Jeffreys' prior, so that a label that was never
    drawn costs much but not everything.

    >>> round(float(log_loss(np.array([[[0], [0], [1]]]), np.array([[0]]), 2)[0, 0]), 4)
    0.47
    """
    hits = (draws == truth[:, None]).sum(axis=1)
    return smoothed_log_loss(hits / draws.shape[1], draws.shape[1], levels)


def smoothed_log_loss(probability: np.ndarray, draws: int, levels: np.ndarray | int) -> np.ndarray:
    """The same for a stated probability of the true label, as if it had been found as the share of so many draws."""
    return -np.log((probability * draws + 0.5) / (draws + 0.5 * levels))
