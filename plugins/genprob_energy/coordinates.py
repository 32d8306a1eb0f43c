"""Coordinates: a deep energy's temperature path over standardised reals, some of them known."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from genprob.engine.kernels.hmc import HMC
from genprob.engine.move import Metrics
from genprob.engine.state import Memory
from genprob.errors import PluginError

_TARGET = 0.8
_LEAPFROGS = 6


def sloped(net: nn.Sequential, points: Tensor) -> tuple[Tensor, Tensor]:
    """A perceptron's one output `[...]` and its gradient `[..., d]`, by hand: a third of what autograd takes.

    Raises `PluginError` for layers other than linear ones and SiLU.
    """
    at, slopes = points, []
    for layer in net:
        if isinstance(layer, nn.Linear):
            at = torch.nn.functional.linear(at, layer.weight, layer.bias)
            slopes.append(layer.weight)
        elif isinstance(layer, nn.SiLU):
            gate = torch.sigmoid(at)
            slopes.append(gate * (1 + at * (1 - gate)))
            at = at * gate
        else:
            raise PluginError(f"an energy's network is of linear layers and SiLU, not {type(layer).__name__}")
    gradient = at.new_ones(at.shape)
    for layer, slope in zip(reversed(net), reversed(slopes), strict=True):
        gradient = gradient @ slope if isinstance(layer, nn.Linear) else gradient * slope
    return at[..., 0], gradient


@dataclass(eq=False)
class EnergyPath:
    """From a normal base to base times exp(-net): `genprob.metrics.partition.Path` over points `[rows, d]`.

    Transitions are HMC of the coordinates that are not known. Their step sizes are found while `tuning`, share by
    share, and fixed afterwards.

    Arguments:
        net: what is added to the energy, `[n, d] -> [n, 1]`.
        spread: standard deviation of the base.
        known: `[rows, d]` bool, coordinates that are given.
        value: `[rows, d]` to what.
    """

    net: nn.Sequential
    spread: float
    known: Tensor
    value: Tensor
    sizes: list[tuple[float, float]] = field(default_factory=lambda: [(0.0, 0.5)])
    tuning: bool = True

    def start(self) -> Tensor:
        return self._held(self.spread * torch.randn_like(self.value))

    def log_density(self, points: Tensor, share: float) -> Tensor:
        return (log_normal(points, self.spread) - share * self.net(points)[..., 0]).double()

    def step(self, points: Tensor, share: float) -> Tensor:
        target = HeldDensity(self.net, self.spread, self.known, self.value, share)
        size = self._size(share)
        kernel = HMC(target, _LEAPFROGS, mass="unit", size=size, value_and_gradient=target.slope)
        new, _, told = kernel.step(points, kernel.init(points))
        if self.tuning:
            self.sizes.append((share, size * float(np.exp(float(told["acceptance"].mean()) - _TARGET))))
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
        return EnergyPath(self.net, self.spread, known, value, self.sizes, tuning=False)


def log_normal(points: Tensor, spread: float) -> Tensor:
    """Log-density of independent normals of one spread, `[..., d] -> [...]`."""
    d = points.shape[-1]
    return -0.5 * (points / spread).square().sum(-1) - d * (math.log(spread) + 0.5 * math.log(2 * math.pi))


@dataclass(frozen=True, eq=False)
class HeldDensity:
    """The log-density of a share of an energy's path, whatever stands at the known coordinates."""

    net: nn.Sequential
    spread: float
    known: Tensor
    value: Tensor
    share: float = 1.0

    def __call__(self, points: Tensor) -> Tensor:
        at = torch.where(self.known, self.value, points)
        return log_normal(at, self.spread) - self.share * self.net(at)[..., 0]

    def slope(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """The log-density and its gradient, 0 in the known coordinates."""
        at = torch.where(self.known, self.value, points)
        value, gradient = sloped(self.net, at)
        down = torch.where(self.known, 0.0, -at / self.spread**2 - self.share * gradient)
        return log_normal(at, self.spread) - self.share * value, down


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
