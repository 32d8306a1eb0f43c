"""Mixtures of logistics: probabilities of intervals, stable from slivers to half-lines."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def log_mass(lo: Tensor, hi: Tensor, loc: Tensor, scale: Tensor, width: Tensor | None = None) -> Tensor:
    """log P(lo < x < hi) of logistics, elementwise; -inf where hi <= lo. Differentiable in loc and scale.

    sigmoid(b) - sigmoid(a) = sigmoid(b) sigmoid(-a) (1 - exp(a - b)): no difference of near numbers is taken but
    hi - lo, which may be given as `width` where it is known more precisely.

    >>> log_mass(torch.tensor(-1.0), torch.tensor(1.0), torch.tensor(0.0), torch.tensor(1.0)).exp()
    tensor(0.4621)
    """
    span = (hi - lo if width is None else width) / scale
    safe = torch.where(span > 0, span, 1.0)
    out = logsigmoid((hi - loc) / scale) + logsigmoid((loc - lo) / scale) + torch.log(-torch.expm1(-safe))
    return torch.where(span > 0, out, -torch.inf)


def draw_between(lo: Tensor, hi: Tensor, loc: Tensor, scale: Tensor) -> Tensor:
    """Draws given lo < x < hi, elementwise, by inverting the CDF in logs from the nearer tail."""
    a, b = (lo - loc) / scale, (hi - loc) / scale
    flip = a + b > 0
    a, b = torch.where(flip, -b, a), torch.where(flip, -a, b)  # the middle at or below zero: CDFs are small, exact
    u = torch.rand_like(a).clamp(1e-12, 1 - 1e-12)
    log_p = torch.logaddexp(logsigmoid(a) + torch.log1p(-u), logsigmoid(b) + torch.log(u))
    z = log_p - torch.log(-torch.expm1(log_p.clamp(max=-1e-16)))
    z = torch.minimum(torch.maximum(z, a), b)
    return loc + scale * torch.where(flip, -z, z)
