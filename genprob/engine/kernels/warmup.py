"""Warm-up: step size by dual averaging, mass in windows, then both are frozen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from genprob.engine.kernels import averaging, moments
from genprob.engine.kernels.density import LogDensity, checked
from genprob.engine.move import Metrics
from genprob.engine.state import Memory

Mass = Literal["unit", "diagonal", "dense"]

# Shares of the warm-up at which the mass is set anew from what was seen since the one before.
_SEEN_FROM, _MASS_AT = 0.05, (0.15, 0.35, 0.85)


@dataclass(frozen=True)
class Warmup:
    """Adapts as Stan does (Carpenter et al. 2017), except that all chains of a query share what they learn.

    Arguments:
        steps: adapted steps; after them nothing changes.
        target: wanted mean probability of acceptance.
        mass: what of the covariance of the positions is learned as the inverse mass.
        size: first step size, in units of the mass.
    """

    steps: int
    target: float
    mass: Mass = "diagonal"
    size: float = 0.1

    @property
    def _dense(self) -> bool:
        return self.mass == "dense"

    def init(self, position: Tensor, lead: int) -> Memory:
        """Memory of a kernel whose positions have `lead` batch dimensions, the last of them the chains."""
        size = position.new_full(position.shape[: lead - 1], self.size)
        one = position.select(lead - 1, 0)
        if self._dense:
            width = one.flatten(lead - 1).shape[-1]
            scale = torch.eye(width, dtype=one.dtype, device=one.device).expand(*size.shape, width, width).clone()
        else:
            scale = torch.ones_like(one)
        learned = moments.nothing(position, lead, dense=self._dense) if self.mass != "unit" else {}
        return {"size": size, "scale": scale, "adapted": 0} | averaging.begun(size) | learned

    def step(self, position: Tensor, memory: Memory, acceptance: Tensor) -> Memory:
        """The memory after a step that ended at `position` with these probabilities of acceptance, one per chain."""
        done, lead = memory["adapted"], acceptance.ndim
        if done >= self.steps:
            return memory
        memory = memory | {"adapted": done + 1} | averaging.averaged(memory, acceptance.mean(-1), self.target)
        if self.mass != "unit":
            if done >= _SEEN_FROM * self.steps:
                memory |= moments.seen(position, memory, lead, dense=self._dense)
            if done + 1 in {math.ceil(share * self.steps) for share in _MASS_AT} and memory["count"] > 1:
                scale = moments.scale(memory, lead, dense=self._dense)
                memory |= {"scale": scale} | averaging.begun(memory["size"])
                memory |= moments.nothing(position, lead, dense=self._dense)
        if done + 1 == self.steps:
            memory |= {"size": memory["log_average"].exp()}
        return memory


class WarmedUp:
    """A kernel whose step size and mass a `Warmup` adapts to its probabilities of acceptance, and nothing else.

    Attributes:
        log_density, warmup, target, mass, size: as the kernels say.
    """

    log_density: LogDensity
    warmup: int
    target: float
    mass: Mass
    size: float

    @property
    def _warmup(self) -> Warmup:
        return Warmup(self.warmup, self.target, self.mass, self.size)

    def init(self, position: Tensor) -> Memory:
        return self.begun(position, checked(self.log_density(position), position).ndim)

    def begun(self, position: Tensor, lead: int) -> Memory:
        """As `init`, where it is known that positions have `lead` batch dimensions."""
        return self._warmup.init(position, lead)

    def adapt(self, position: Tensor, memory: Memory, metrics: Metrics) -> Memory:
        return self._warmup.step(position, memory, metrics["acceptance"])
