"""Effective sample sizes: how many independent draws would tell as much."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from genprob.engine.diagnostics.normal_scores import checked, normal_scores, split
from genprob.engine.diagnostics.quantile import quantile


def ess(draws: Tensor) -> Tensor:
    """Effective sample size for the mean, `[draw, chain, ...] -> [...]`, chains split (Vehtari et al. 2021).

    Above the number of draws for chains that are antithetic. NaN where a draw is.
    """
    return _geyer(split(checked(draws)))


def ess_bulk(draws: Tensor) -> Tensor:
    """Effective sample size of the normal scores: for location, whatever the moments."""
    return _geyer(normal_scores(split(checked(draws))))


def ess_quantile(draws: Tensor, probability: float) -> Tensor:
    """Effective sample size for one quantile: that of being below it."""
    draws = checked(draws)
    below = (
        (draws <= quantile(draws.flatten(0, 1), probability)).to(torch.float64).masked_fill(draws.isnan(), torch.nan)
    )
    return _geyer(split(below)).to(draws.dtype)


def ess_tail(draws: Tensor) -> Tensor:
    """The smaller of the effective sample sizes for the 5 and the 95 % quantile."""
    return torch.minimum(ess_quantile(draws, 0.05), ess_quantile(draws, 0.95))


def _geyer(draws: Tensor) -> Tensor:
    """All chains together, by Geyer's (1992) initial monotone sequence of pairs of autocorrelations."""
    steps, chains = draws.shape[:2]
    total = steps * chains
    covariance = _autocovariance(draws).mean(1)
    means = draws.mean(0)
    within = covariance[0] * steps / (steps - 1)
    variance = covariance[0] + (means.var(0) if chains > 1 else 0.0)
    correlation = 1 - (within - covariance) / variance
    correlation[0] = 1.0
    # The last lags are averages of next to nothing.
    pairs = max(1, (steps - 1) // 2)
    even = correlation[0 : 2 * pairs : 2]
    both = even + correlation[1 : 2 * pairs : 2]
    kept = (both > 0).to(torch.int64).cumprod(0)
    # The pair that ends the sequence still lends its even member where that is positive.
    kept[-1] = 0
    end = kept.sum(0, keepdim=True)
    monotone = both.cummin(0).values * kept
    tail = even.gather(0, end).squeeze(0).clamp(min=0.0)
    time = (2 * monotone.sum(0) + tail - 1).clamp(min=1 / math.log10(total))
    size = total / time
    flat = draws.flatten(0, 1)
    size = torch.where((flat == flat[0]).all(0), float(total), size)
    return torch.where(flat.isnan().any(0), torch.nan, size)


def _autocovariance(draws: Tensor) -> Tensor:
    """Of each chain at every lag, divided by the number of draws, by Fourier transform along the draws."""
    steps = len(draws)
    length = 1 << (2 * steps - 1).bit_length()
    transformed = torch.fft.rfft(draws - draws.mean(0), n=length, dim=0)
    return torch.fft.irfft(transformed.abs().square(), n=length, dim=0)[:steps] / steps
