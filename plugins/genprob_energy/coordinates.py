"""Coordinates: a deep energy's temperature path over standardised reals, some of them known."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from genprob.engine.kernels.hmc import HMC
from genprob.engine.kernels.metropolis import accepted, chosen
from genprob.engine.move import Metrics
from genprob.engine.state import Memory
from genprob_energy.added import Added
from genprob_energy.annealed import size_at
from genprob_energy.base import Given, NormalMixture

TARGET = 0.8
"""Wanted acceptance of a path's transitions."""
_LEAPFROGS = 6
_PROPOSALS = 3


@dataclass(eq=False)
class EnergyPath:
    """From the base to base times exp(-net): `genprob.metrics.partition.Path` over points `[n * copies, d]`.

    Every point draws its unknown coordinates from the base given the known ones. Transitions are proposals from there
    where the base is `near` the law, else HMC, whose step sizes are found while `tuning`, share by share, and fixed
    afterwards.

    Arguments:
        added: to the energy, by a network.
        base: where the path begins.
        given: the base's law of the coordinates that are not known, of n points.
        copies: chains of each.
        near: whether the base is near the law.
    """

    added: Added
    base: NormalMixture
    given: Given
    copies: int
    near: bool = False
    sizes: list[tuple[float, float]] = field(default_factory=lambda: [(0.0, 0.5)])
    tuning: bool = True

    def __post_init__(self) -> None:
        self.known, self.value = (x.repeat_interleave(self.copies, 0) for x in (self.given.known, self.given.value))

    def start(self) -> Tensor:
        return self.given.draw(self.copies).flatten(0, 1)

    def log_density(self, points: Tensor, share: float) -> Tensor:
        return self.base.log_density(points) - share * self.added(points).double()

    def step(self, points: Tensor, share: float) -> Tensor:
        if self.near:
            return _proposed(self.added, self.given, self.copies, points, share, _PROPOSALS)[0]
        target = HeldDensity(self.added, self.base, self.known, self.value, share)
        size = size_at(self, share)
        kernel = HMC(target, _LEAPFROGS, mass="unit", size=size, value_and_gradient=target.slope)
        new, _, told = kernel.step(points, kernel.begun(points, 1))
        if self.tuning:
            self.sizes.append((share, size * float(np.exp(float(told["acceptance"].mean()) - TARGET))))
        return torch.where(self.known, self.value, new)


def _proposed(
    added: Added, given: Given, copies: int, points: Tensor, share: float, times: int
) -> tuple[Tensor, Tensor]:
    """Metropolis steps that propose from the base whatever stands now, and the mean chance of acceptance, `[rows]`."""
    now, chances = added(points), []
    for _ in range(times):
        fresh = given.draw(copies).reshape(points.shape)
        then = added(fresh)
        chance, accept = accepted(share * (now - then))
        points, now = chosen(accept, fresh, points), torch.where(accept, then, now)
        chances.append(chance)
    return points, torch.stack(chances).mean(0)


@dataclass(frozen=True, eq=False)
class HeldProposals:
    """Metropolis steps of `[Q, chains, d]` or `[Q, d]` that propose unknown coordinates from the base given the others.

    Arguments:
        added: to the base's energy, by a network.
        given: the base's laws, of Q points.
    """

    added: Added
    given: Given

    def init(self, position: Tensor) -> Memory:
        return {}

    def step(self, position: Tensor, memory: Memory) -> tuple[Tensor, Memory, Metrics]:
        copies = position.shape[1] if position.ndim > 2 else 1
        new, chance = _proposed(self.added, self.given, copies, position, 1.0, _PROPOSALS)
        return new, memory, {"acceptance": chance}


@dataclass(frozen=True, eq=False)
class HeldDensity:
    """The log-density of a share of an energy's path, whatever stands at the known coordinates."""

    added: Added
    base: NormalMixture
    known: Tensor
    value: Tensor
    share: float = 1.0

    def __call__(self, points: Tensor) -> Tensor:
        at = torch.where(self.known, self.value, points)
        return self.base.log_density(at).to(at.dtype) - self.share * self.added(at)

    def slope(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """The log-density and its gradient, 0 in the known coordinates."""
        at = torch.where(self.known, self.value, points)
        value, gradient = self.added.slope(at)
        log_base, down = self.base.slope(at)
        return log_base - self.share * value, torch.where(self.known, 0.0, down - self.share * gradient)


@dataclass(frozen=True, eq=False)
class HeldHMC:
    """HMC of the coordinates `[..., chains, d]` that are not known; the known ones stand still.

    Arguments:
        inner: HMC of a log-density that looks past the known coordinates.
        known, value: which coordinates are given, and to what, broadcast to the chains.
    """

    inner: HMC
    known: Tensor
    value: Tensor

    def init(self, position: Tensor) -> Memory:
        return self.inner.init(position)

    def step(self, position: Tensor, memory: Memory) -> tuple[Tensor, Memory, Metrics]:
        new, memory, told = self.inner.step(position, memory)
        return torch.where(self.known, self.value, new), memory, told

    def adapt(self, position: Tensor, memory: Memory, metrics: Metrics) -> Memory:
        return self.inner.adapt(position, memory, metrics)
