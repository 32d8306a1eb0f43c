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
    # Where zeros reach into the tail, it is that of the weights above zero.
    for q in np.flatnonzero((largest[:, 0] == 0) & ~flat):
        some = log_weight[q, weight[q] > 0]
        k[q] = pareto_k(some[None])[0] if len(some) < draws else k[q]
    return np.where(np.isfinite(peak[:, 0]), k, np.nan)


def pareto_smooth(log_weight: np.ndarray) -> np.ndarray:
    """`[queries, draws]` log-weights whose largest are replaced by the expected order statistics of the fitted tail.

    Pareto smoothed importance sampling (Vehtari et al. 2024): less variance for a little bias; no weight grows beyond
    the largest. Weights without a tail are left as they are.
    """
    draws = log_weight.shape[1]
    k = pareto_k(log_weight)
    tail = math.ceil(min(0.2 * draws, 3 * math.sqrt(draws)))
    some = np.flatnonzero(np.isfinite(k))
    if not len(some):
        return log_weight
    out, part, shape = log_weight.copy(), log_weight[some], k[some, None]
    order = np.argsort(part, axis=1)[:, -tail - 1 :]
    ordered = np.take_along_axis(part, order, 1)
    peak = ordered[:, -1:]
    largest = np.exp(ordered - peak)
    cut, excess = largest[:, :1], largest[:, 1:] - largest[:, :1]
    # The scale that gives the fitted shape the tail's mean, or its median where the mean is infinite.
    quantile = (np.arange(1, tail + 1) - 0.5) / tail
    unit = np.where(
        np.abs(shape) < 1e-8, -np.log1p(-quantile), np.expm1(np.minimum(-shape * np.log1p(-quantile), 600.0)) / shape
    )
    scale = np.median(excess, axis=1, keepdims=True) / np.median(unit, axis=1, keepdims=True)
    with np.errstate(divide="ignore"):
        smooth = np.log(np.minimum(cut + scale * unit, 1.0)) + peak
    np.put_along_axis(part, order[:, 1:], smooth, 1)
    out[some] = part
    return out


def pareto_k_of(log_weight: np.ndarray, functional: np.ndarray) -> np.ndarray:
    """k-hat of the weighted mean of `functional [queries, draws]`: the worst of the weights and of both tails of w h.

    `functional` is centred at its weighted mean first (Vehtari et al. 2024, section 2.4, for h-specific shapes).
    """
    peak = log_weight.max(1, keepdims=True)
    weight = np.exp(log_weight - np.where(np.isfinite(peak), peak, 0.0))
    mean = (weight * functional).sum(1, keepdims=True) / np.maximum(weight.sum(1, keepdims=True), 1e-300)
    pull = weight * (functional - mean)
    with np.errstate(divide="ignore"):
        tails = [pareto_k(np.log(np.maximum(side, 0.0))) for side in (pull, -pull)]
    return np.fmax(pareto_k(log_weight), np.fmax(*tails))


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
