"""The univariate normal on a union of intervals: masses and draws that stay accurate far out in the tails."""

from __future__ import annotations

import torch
from torch import Tensor


def log_mass(lower: Tensor, upper: Tensor) -> Tensor:
    """log P(lower <= z <= upper) of a standard normal; -inf where the interval is empty."""
    # On the right of zero both ends are reflected, so that small masses are differences of small numbers.
    flip = lower > 0
    a, b = torch.where(flip, -upper, lower), torch.where(flip, -lower, upper)
    high, low = torch.special.log_ndtr(b), torch.special.log_ndtr(a)
    mass = high + torch.log1p(-torch.exp((low - high).clamp(max=0.0)))
    return torch.where((lower < upper) & torch.isfinite(high), mass, -torch.inf)


def draw(lower: Tensor, upper: Tensor, uniform: Tensor) -> Tensor:
    """The `uniform`-quantile of a standard normal within one interval; never outside it."""
    flip = lower > 0
    a, b = torch.where(flip, -upper, lower), torch.where(flip, -lower, upper)
    u = torch.where(flip, 1 - uniform, uniform)
    low, high = (torch.special.erfc(x * -(0.5**0.5)) / 2 for x in (a, b))  # torch's own ndtr is 0 below -8
    z = torch.special.ndtri(low + u * (high - low))
    far = b < -30
    if bool(far.any()):
        z = torch.where(far, _far(a, b, u), z)
    z = torch.minimum(torch.maximum(torch.nan_to_num(z, nan=0.0, neginf=-38.0, posinf=38.0), a), b)
    return torch.where(flip, -z, z)


def _far(a: Tensor, b: Tensor, u: Tensor) -> Tensor:
    """Quantiles where the distribution function underflows: its logarithm falls as -z^2 / 2, then one Newton step."""
    top = torch.special.log_ndtr(b)
    cut = torch.exp(torch.special.log_ndtr(a) - top)
    wanted = torch.log((cut + u * (1 - cut)).clamp(min=1e-300))
    z = -torch.sqrt((b.square() - 2 * wanted).clamp(min=1.0))
    return z + (torch.special.log_ndtr(z) - top - wanted) / z
