"""Coordinates: a deep energy's temperature path over standardised reals, some of them known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from genprob.engine.kernels.hmc import HMC

_TARGET = 0.8
_LEAPFROGS = 6


@dataclass(eq=False)
class EnergyPath:
    """From a normal base to base times exp(-net): `genprob.metrics.partition.Path` over points `[rows, d]`.

    Transitions are HMC of the coordinates that are not known. Their step sizes are found while `tuning`, share by
    share, and fixed afterwards.

    Arguments:
        log_base: normalised log-density of the base, `[n, d] -> [n]`.
        draw_base: draws of it, `rows -> [rows, d]`.
        net: what is added to the energy, `[n, d] -> [n]`.
        known: `[rows, d]` bool, coordinates that are given.
        value: `[rows, d]` to what.
    """

    log_base: Callable[[Tensor], Tensor]
    draw_base: Callable[[int], Tensor]
    net: Callable[[Tensor], Tensor]
    known: Tensor
    value: Tensor
    sizes: list[tuple[float, float]] = field(default_factory=lambda: [(0.0, 0.5)])
    tuning: bool = True

    def start(self) -> Tensor:
        return self._held(self.draw_base(len(self.known)))

    def log_density(self, points: Tensor, share: float) -> Tensor:
        return (self.log_base(points) - share * self.net(points)).double()

    def step(self, points: Tensor, share: float) -> Tensor:
        # Known coordinates change nothing, so whatever they do in between is forgotten.
        kernel = HMC(lambda x: self.log_density(self._held(x), share), _LEAPFROGS, mass="unit", size=self._size(share))
        new, _, told = kernel.step(points, kernel.init(points))
        if self.tuning:
            factor = float(np.exp(float(told["acceptance"].mean()) - _TARGET))
            self.sizes.append((share, kernel.size * factor))
        return self._held(new)

    def _size(self, share: float) -> float:
        if self.tuning:
            return self.sizes[-1][1]
        at, size = zip(*sorted(self.sizes), strict=True)
        return float(np.interp(share, at, size))

    def _held(self, points: Tensor) -> Tensor:
        return torch.where(self.known, self.value, points)

    def of(self, known: Tensor, value: Tensor) -> EnergyPath:
        """The same path with other coordinates known, its step sizes as they are."""
        return EnergyPath(self.log_base, self.draw_base, self.net, known, value, self.sizes, tuning=False)


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

    def init(self, position: Tensor):
        return self.inner.init(position)

    def step(self, position: Tensor, memory: dict):
        new, memory, told = self.inner.step(position, memory)
        return torch.where(self.known, self.value, new), memory, told

    def adapt(self, position: Tensor, memory: dict, metrics: dict):
        return self.inner.adapt(position, memory, metrics)
