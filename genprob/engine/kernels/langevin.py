"""Langevin steps without an accept step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genprob.engine.kernels.density import LogDensity, ValueAndGradient, differentiated
from genprob.engine.move import Metrics
from genprob.engine.state import Memory


@dataclass(frozen=True)
class Langevin:
    """Unadjusted Langevin steps: `x + size^2/2 gradient + size noise N(0, 1)` (Parisi 1981).

    Nothing is refused, so that its law is not that of the density but one that nears it as `size` falls: `adjusted`
    is False, and no answer drawn with it is consistent. On a normal variable of variance v the chain's variance is
    v / (1 - size^2 / (4 v)).

    Arguments:
        log_density: `[chains, *event] -> [chains]`, or with leading queries, in nats up to a constant.
        size: standard deviation of the noise of a step.
        value_and_gradient: the log-density with its gradient, where an analytic one is faster than autograd.
        noise: what the noise is multiplied by; below 1 the chain is colder than the density.
        clip: largest norm of a step's drift, per chain; None for no limit.
    """

    log_density: LogDensity
    size: float = 0.1
    value_and_gradient: ValueAndGradient | None = None
    noise: float = 1.0
    clip: float | None = None

    adjusted: ClassVar[bool] = False

    def init(self, position: Tensor) -> Memory:
        return {}

    def step(self, position: Tensor, memory: Memory) -> tuple[Tensor, Memory, Metrics]:
        value, gradient = differentiated(self.log_density, self.value_and_gradient)(position)
        drift = 0.5 * self.size**2 * gradient
        if self.clip is not None:
            flat = drift.flatten(value.ndim) if drift.ndim > value.ndim else drift.unsqueeze(-1)
            norm = flat.norm(dim=-1, keepdim=True)
            drift = (flat * (self.clip / norm).clamp(max=1.0)).reshape(drift.shape)
        new = position + drift + self.noise * self.size * torch.randn_like(position)
        return new, memory, {"log_density": value}
