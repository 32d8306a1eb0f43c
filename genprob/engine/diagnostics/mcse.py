"""Monte-Carlo standard errors of what is read off chains."""

from __future__ import annotations

import torch
from torch import Tensor

from genprob.engine.diagnostics.ess import ess, ess_quantile
from genprob.engine.diagnostics.normal_scores import checked


def mcse_mean(draws: Tensor) -> Tensor:
    """Standard error of the mean over draws and chains, `[draw, chain, ...] -> [...]`, in units of the draws."""
    draws = checked(draws)
    return draws.flatten(0, 1).std(0) / ess(draws).sqrt()


def mcse_quantile(draws: Tensor, probability: float) -> Tensor:
    """Standard error of a quantile (Vehtari et al. 2021): half the distance of two draws around it.

    >>> _ = torch.manual_seed(0)
    >>> draws = torch.randn(1000, 4, dtype=torch.float64)
    >>> bool((mcse_quantile(draws, 0.5) / (1.2533 / 4000**0.5) - 1).abs() < 0.2)
    True
    """
    # Imported where it is used: scipy.stats is slow to load.
    from scipy.special import betaincinv

    draws = checked(draws)
    size = ess_quantile(draws, probability)
    ordered = draws.flatten(0, 1).sort(0).values
    total = len(ordered)
    a, b = (size * probability + 1).cpu().numpy(), (size * (1 - probability) + 1).cpu().numpy()
    # One standard deviation to either side, in probability.
    low, high = (torch.as_tensor(betaincinv(a, b, p), device=draws.device) for p in (0.1586553, 0.8413447))
    first = torch.nan_to_num(low * total - 1).floor().clamp(0, total - 1).long()
    last = torch.nan_to_num(high * total - 1).ceil().clamp(0, total - 1).long()
    gap = ordered.gather(0, last.unsqueeze(0)) - ordered.gather(0, first.unsqueeze(0))
    return torch.where(size.isnan(), torch.nan, 0.5 * gap.squeeze(0))
