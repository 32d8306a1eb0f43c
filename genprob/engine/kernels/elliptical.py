"""Elliptical slice sampling, for a normal prior."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genprob.engine.kernels.density import LogDensity, checked, widened
from genprob.engine.kernels.metropolis import chosen
from genprob.engine.move import Metrics
from genprob.engine.state import Memory


@dataclass(frozen=True)
class EllipticalSlice:
    """Leaves N(x; mean, scale) times a likelihood invariant, without tuning (Murray, Adams and MacKay 2010).

    Metrics: `evaluations` of the likelihood per chain.

    Arguments:
        log_likelihood: `[chains, *event] -> [chains]`, or with leading queries, in nats up to a constant.
        mean: of the prior, to broadcast against positions.
        scale: standard deviations of the prior, to broadcast against positions; or the Cholesky factor of its
            covariance, `[d, d]`, with `dense`.
        dense: whether `scale` is a Cholesky factor.
        shrinks: most shrinkings; a chain that finds nothing then stays where it is.
    """

    log_likelihood: LogDensity
    mean: Tensor | float = 0.0
    scale: Tensor | float = 1.0
    dense: bool = False
    shrinks: int = 100

    adjusted: ClassVar[bool] = True

    def init(self, position: Tensor) -> Memory:
        checked(self.log_likelihood(position), position)
        return {}

    def step(self, position: Tensor, memory: Memory) -> tuple[Tensor, Memory, Metrics]:
        value = self.log_likelihood(position)
        height = value + torch.rand_like(value).log()
        noise = torch.randn_like(position)
        noise = noise @ torch.as_tensor(self.scale).mT if self.dense else noise * self.scale
        off = position - self.mean
        angle = 2 * math.pi * torch.rand_like(value)
        bottom, top = angle - 2 * math.pi, angle
        new, found = position, torch.zeros_like(value, dtype=torch.bool)
        evaluations = torch.zeros_like(value)
        for _ in range(self.shrinks):
            wide = widened(angle, position.ndim)
            trial = self.mean + off * wide.cos() + noise * wide.sin()
            evaluations = evaluations + ~found
            hit = (self.log_likelihood(trial) > height) & ~found
            new, found = chosen(hit, trial, new), found | hit
            if bool(found.all()):
                break
            bottom, top = torch.where(angle < 0, angle, bottom), torch.where(angle >= 0, angle, top)
            angle = torch.where(found, angle, bottom + (top - bottom) * torch.rand_like(value))
        return new, memory, {"evaluations": evaluations}
