"""Slice sampling along random directions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genprob.engine.kernels.density import LogDensity, checked, summed, widened
from genprob.engine.kernels.metropolis import chosen
from genprob.engine.move import Metrics
from genprob.engine.state import Memory


@dataclass(frozen=True)
class Slice:
    """Hit-and-run slice sampling: stepping out and shrinking along a random line (Neal 2003, figures 3 and 5).

    Needs no gradient and refuses nothing. Where `warmup` is given, the width follows the chains' own intervals, then
    is frozen. Metrics: `evaluations` of the density and `moved`, the distance, per chain; `step_size` per query.

    Arguments:
        log_density: `[chains, *event] -> [chains]`, or with leading queries, in nats up to a constant.
        warmup: steps that adapt the width.
        width: first width of an interval, along a direction of unit length.
        out: most widths of an interval.
        shrinks: most shrinkings; a chain that is still outside its slice then (a density that is not a function of
            the position) stays where it is.
    """

    log_density: LogDensity
    warmup: int = 0
    width: float = 1.0
    out: int = 16
    shrinks: int = 100

    adjusted: ClassVar[bool] = True

    def init(self, position: Tensor) -> Memory:
        lead = checked(self.log_density(position), position).ndim
        size = position.new_full(position.shape[: lead - 1], self.width)
        return {"size": size, "adapted": 0}

    def step(self, position: Tensor, memory: Memory) -> tuple[Tensor, Memory, Metrics]:
        value = self.log_density(position)
        lead = value.ndim
        direction = torch.randn_like(position)
        direction = direction / widened(summed(direction.square(), lead).sqrt(), direction.ndim)
        height = value + torch.rand_like(value).log()
        width = memory["size"].unsqueeze(-1).expand_as(value)

        def inside(along: Tensor) -> Tensor:
            # NaN is outside.
            return self.log_density(position + widened(along, position.ndim) * direction) > height

        low, high, evaluations = self._out(inside, width)
        shift, found = torch.zeros_like(value), torch.zeros_like(value, dtype=torch.bool)
        bottom, top = low, high
        for _ in range(self.shrinks):
            trial = bottom + (top - bottom) * torch.rand_like(value)
            evaluations = evaluations + ~found
            hit = inside(trial) & ~found
            shift, found = torch.where(hit, trial, shift), found | hit
            bottom = torch.where(~found & (trial < 0), trial, bottom)
            top = torch.where(~found & (trial >= 0), trial, top)
            if bool(found.all()):
                break
        new = chosen(found, position + widened(shift, position.ndim) * direction, position)
        metrics = {"evaluations": evaluations, "moved": shift.abs(), "interval": high - low}
        return new, memory, metrics | {"step_size": memory["size"]}

    def _out(self, inside: LogDensity, width: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """An interval around 0 whose ends are outside the slice, or that is `out` widths long."""
        low = -width * torch.rand_like(width)
        high = low + width
        lefts = (self.out * torch.rand_like(width)).floor()
        rights = self.out - 1 - lefts
        evaluations = torch.zeros_like(width)
        for side, budget in ((-1.0, lefts), (1.0, rights)):
            end, going = (low, budget > 0) if side < 0 else (high, budget > 0)
            while bool(going.any()):
                evaluations = evaluations + going
                going = going & inside(end)
                end = end + side * width * going
                budget = budget - going.to(budget.dtype)
                going = going & (budget > 0)
            low, high = (end, high) if side < 0 else (low, end)
        return low, high, evaluations

    def adapt(self, position: Tensor, memory: Memory, metrics: Metrics) -> Memory:
        done = memory["adapted"]
        if done >= self.warmup:
            return memory
        # Robbins and Monro on the logarithm: an interval of about two and a half widths is stepped out cheaply.
        change = (metrics["interval"].mean(-1) / memory["size"]).log() - math.log(2.5)
        return {"size": memory["size"] * (change / math.sqrt(done + 1)).exp(), "adapted": done + 1}
