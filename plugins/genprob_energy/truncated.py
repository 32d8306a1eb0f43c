"""Normal units under intervals and noisy readings."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from genprob.data.encoders import Encoder
from genprob.nets.normal import draw_between, log_between
from genprob_energy.evidence import Reading

_DEFENSIVE = 0.25


def draw_within(loc: Tensor, scale: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Draws `[n]` of Normal(loc, scale^2) within the union of disjoint intervals `[n, m]`."""
    low, high = (lower - loc[:, None]) / scale, (upper - loc[:, None]) / scale
    chosen = torch.zeros(len(loc), 1, dtype=torch.long, device=loc.device)
    if lower.shape[1] > 1:
        mass = log_between(low.double(), high.double())
        mass = torch.where(torch.isfinite(mass).any(1, keepdim=True), mass, torch.where(lower < upper, 0.0, -torch.inf))
        chosen = torch.multinomial(torch.softmax(mass, 1), 1)
    u = draw_between(low.gather(1, chosen)[:, 0].double(), high.gather(1, chosen)[:, 0].double())
    z = loc + scale * u.to(loc.dtype)
    return torch.minimum(torch.maximum(z, lower.gather(1, chosen)[:, 0]), upper.gather(1, chosen)[:, 0])


def draw_reading(reading: Reading, encoder: Encoder, loc: Tensor, scale: Tensor, now: Tensor) -> Tensor:
    """One independence Metropolis step of z `[n]` given Normal(loc, scale^2) and a noisy reading of its decoded value.

    The proposal is the product with the reading made linear at its own coordinate: exact where the encoding is
    linear and the variable not rounded, and then always accepted. Elsewhere one proposal in four is of
    Normal(loc, scale^2) itself, which covers the tails that the linear one lacks.
    """
    x = encoder.nearest_inside(0, reading.value, reading.sd)
    mean = encoder.encode(x[:, None])[:, 0]
    spread = reading.sd * encoder.log_jacobian(x[:, None])[:, 0].exp()
    weight = 1 / (1 / scale**2 + 1 / spread**2)
    centre = weight * (loc / scale**2 + mean / spread**2)
    bent = bool(encoder.positive or encoder.bounded or encoder.power or any(encoder.cells))
    share = _DEFENSIVE if bent else 0.0
    unit = torch.randn_like(centre)
    defended = torch.rand_like(centre) < share
    new = torch.where(defended, loc + scale * unit, centre + weight.sqrt() * unit)

    def gain(z: Tensor) -> Tensor:
        at = encoder.snap(encoder.decode(z[:, None]))[:, 0]
        told = -0.5 * ((at - reading.value) / reading.sd) ** 2
        prior = -0.5 * ((z - loc) / scale) ** 2 - scale.log()
        linear = -0.5 * (z - centre) ** 2 / weight - 0.5 * weight.log()
        proposed = torch.logaddexp(linear + math.log1p(-share), prior + math.log(share)) if share else linear
        return told + prior - proposed

    accepted = torch.rand_like(new).log() < gain(new) - gain(now)
    return torch.where(accepted, new, now)
