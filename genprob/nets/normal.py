"""Intervals of the standard normal law: their log-probability, and draws within them, far into the tails."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_FAR = 1e8
_NEAR = 8.0
"""Ends that add up to less, on either side, are near enough for shares of a tail to keep their digits."""
_NARROW, _FLAT = 1e-5, 1e-2
"""Intervals so narrow, with a density so flat, have that of their middle: differences of CDFs would lose digits."""
_LOG_ROOT_TWO_PI = 0.5 * float(np.log(2 * np.pi))


def log_between(lo: Tensor, hi: Tensor) -> Tensor:
    """log P(lo <= u <= hi) of u ~ N(0, 1), elementwise, float64; -inf where hi <= lo. Differentiable.

    >>> log_between(torch.tensor([-1.0, 40.0]).double(), torch.tensor([1.0, 41.0]).double()).exp()[0]
    tensor(0.6827, dtype=torch.float64)
    """
    lo, hi = lo.clamp(-_FAR, _FAR), hi.clamp(-_FAR, _FAR)
    empty = hi <= lo
    flip = lo + hi > 0
    below, above = torch.where(flip, -hi, lo), torch.where(flip, -lo, hi)  # the middle at or below zero
    width = torch.where(empty, 1.0, above - below)
    middle = (below + above) / 2
    tilt = middle.abs() * width / 2
    narrow = (width < _NARROW) & (tilt < _FLAT)
    density = -0.5 * middle**2 - _LOG_ROOT_TWO_PI + torch.log(width) + tilt.clamp(max=1.0) ** 2 / 6
    reach = torch.where(narrow, above + 1.0, above)
    top, bottom = torch.special.log_ndtr(reach), torch.special.log_ndtr(below)
    gap = (top - bottom).clamp(min=1e-300)
    exact = top + torch.log(-torch.expm1(-gap))
    return torch.where(empty, -torch.inf, torch.where(narrow, density, exact))


def draw_between(lo: Tensor, hi: Tensor) -> Tensor:
    """Draws of u ~ N(0, 1) given lo <= u <= hi, elementwise, by inverting the CDF, in logs where it is tiny."""
    if bool(((lo + hi).abs() < _NEAR).all()):
        flip = lo + hi > 0
        below, above = torch.where(flip, -hi, lo), torch.where(flip, -lo, hi)
        first, last = torch.special.ndtr(below), torch.special.ndtr(above)
        u = torch.special.ndtri(first + torch.rand_like(first) * (last - first))
        u = torch.minimum(torch.maximum(u, below), above)
        return torch.where(flip, -u, u)
    from scipy.special import log_ndtr, ndtri_exp

    flip = (lo + hi > 0).cpu().numpy()
    low, high = lo.cpu().numpy(), hi.cpu().numpy()
    below, above = np.where(flip, -high, low), np.where(flip, -low, high)
    share = torch.rand(lo.shape, dtype=torch.float64).numpy().clip(1e-300, 1 - 1e-16)
    log_p = np.logaddexp(log_ndtr(below) + np.log1p(-share), log_ndtr(above) + np.log(share))
    u = np.clip(ndtri_exp(np.minimum(log_p, 0.0)), below, above)
    return torch.as_tensor(np.where(flip, -u, u), device=lo.device)
