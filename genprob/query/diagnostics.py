"""Diagnostics of weighted and Markov-chain draws."""

from __future__ import annotations

import math

import numpy as np


def effective_sample_size(log_weight: np.ndarray) -> np.ndarray:
    """Kish's effective sample size of `[..., draws]` log-weights; 0 where all weights are zero.

    >>> effective_sample_size(np.zeros((1, 8))).tolist()
    [8.0]
    """
    peak = log_weight.max(-1, keepdims=True)
    weight = np.exp(log_weight - np.where(np.isfinite(peak), peak, 0.0))
    total = weight.sum(-1)
    return np.where(total > 0, total**2 / np.maximum((weight**2).sum(-1), 1e-300), 0.0)


def pareto_k(log_weight: np.ndarray) -> np.ndarray:
    """Pareto shape k-hat of the upper tail of `[queries, draws]` log-weights.

    The generalised Pareto law is fitted to the largest min(draws / 5, 3 sqrt(draws)) weights by Zhang and Stephens'
    (2009) posterior mean with the prior of Vehtari, Simpson, Gelman, Yao and Gabry (2024, Pareto smoothed importance
    sampling). Constant weights have no tail: -inf.
    """
    queries, draws = log_weight.shape
    tail = math.ceil(min(0.2 * draws, 3 * math.sqrt(draws)))
    if tail < 5:
        return np.full(queries, np.nan)
    peak = log_weight.max(1, keepdims=True)
    weight = np.exp(log_weight - np.where(np.isfinite(peak), peak, 0.0))
    largest = np.sort(np.partition(weight, draws - tail - 1, axis=1)[:, draws - tail - 1 :], axis=1)
    excess = largest[:, 1:] - largest[:, :1]
    flat = (excess[:, -1] <= 1e-12 * np.maximum(largest[:, -1], 1e-300)) | ~np.isfinite(peak[:, 0])
    excess = np.where(flat[:, None], np.linspace(0.1, 1, tail)[None], excess)
    k = _generalised_pareto_shape(np.maximum(excess, 1e-300))
    k = np.where(flat, -np.inf, k)
    return np.where(np.isfinite(peak[:, 0]), k, np.nan)


def _generalised_pareto_shape(excess: np.ndarray) -> np.ndarray:
    """Shape of the generalised Pareto law for ascending `[queries, n]` excesses."""
    n = excess.shape[1]
    grid = 30 + int(math.sqrt(n))
    j = np.arange(1, grid + 1)
    quartile = excess[:, int(n / 4 + 0.5) - 1]
    theta = 1 / excess[:, -1:] + (1 - np.sqrt(grid / (j - 0.5)))[None] / (3 * quartile[:, None])
    shape = np.log1p(-theta[:, :, None] * excess[:, None]).mean(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        profile = n * (np.log(-theta / shape) - shape - 1)
    profile = np.nan_to_num(profile, nan=-np.inf)
    weight = np.exp(profile - profile.max(1, keepdims=True))
    weight /= weight.sum(1, keepdims=True)
    best = (theta * weight).sum(1, keepdims=True)
    k = np.log1p(-best * excess).mean(1)
    return (n * k + 5) / (n + 10)  # weakly towards 0.5


def acceptable_k(draws: int) -> float:
    """The k-hat below which an average of this many draws can be trusted: min(1 - 1/log10 S, 0.7)."""
    return min(1 - 1 / math.log10(max(draws, 11)), 0.7)


def log_mean_error(log_weight: np.ndarray) -> np.ndarray:
    """Standard error of the log of the mean of `[..., draws]` weights, by the delta method."""
    draws = log_weight.shape[-1]
    ess = np.maximum(effective_sample_size(log_weight), 1e-12)
    return np.sqrt(np.maximum(1 / ess - 1 / draws, 0.0))
