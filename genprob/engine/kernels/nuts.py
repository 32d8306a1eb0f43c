"""The no-U-turn sampler, all chains at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genprob.engine.kernels.density import (
    LogDensity,
    ValueAndGradient,
    checked,
    differentiated,
    summed,
)
from genprob.engine.kernels.hmc import diverging, kinetic
from genprob.engine.kernels.metropolis import chosen
from genprob.engine.kernels.stride import Stride
from genprob.engine.kernels.warmup import Mass, Warmup
from genprob.engine.move import Metrics
from genprob.engine.state import Memory


@dataclass(frozen=True)
class NUTS:
    """Trajectories doubled until they turn (Hoffman and Gelman 2014), with multinomial draws (Betancourt 2017).

    The criterion is the generalised one; trees are walked without recursion (Phan, Pradhan and Jankowiak 2019). All
    chains double together, and wait for the last; the chains of a query share step size and mass. Metrics, one number
    per chain: `acceptance` (mean over the trajectory), `energy`, `diverging`, `depth`, `leapfrogs`; per query:
    `step_size`.

    Arguments:
        log_density: `[chains, *event] -> [chains]`, or with leading queries, in nats up to a constant.
        warmup: steps that adapt step size and mass; then both are frozen.
        target: wanted mean probability of acceptance.
        depth: most doublings of a trajectory.
        value_and_gradient: the log-density with its gradient, where an analytic one is faster than autograd.
        mass: the inverse mass that is learned: `unit`, `diagonal` or `dense`.
        size: first step size.
    """

    log_density: LogDensity
    warmup: int = 0
    target: float = 0.8
    depth: int = 10
    value_and_gradient: ValueAndGradient | None = None
    mass: Mass = "diagonal"
    size: float = 0.1

    adjusted: ClassVar[bool] = True

    @property
    def _warmup(self) -> Warmup:
        return Warmup(self.warmup, self.target, self.mass, self.size)

    def init(self, position: Tensor) -> Memory:
        return self._warmup.init(position, checked(self.log_density(position), position).ndim)

    def step(self, position: Tensor, memory: Memory) -> tuple[Tensor, Memory, Metrics]:
        slope = differentiated(self.log_density, self.value_and_gradient)
        value, gradient = slope(position)
        lead = value.ndim
        stride = Stride.of(memory, position, lead, dense=self.mass == "dense")
        momentum = torch.randn_like(position)
        energy = start = kinetic(momentum, lead) - value
        left = right = (position, momentum, gradient)
        draw, total, weight = position, momentum, torch.zeros_like(value)
        live, diverged = torch.ones_like(value, dtype=torch.bool), torch.zeros_like(value, dtype=torch.bool)
        chances, leapfrogs, depth = torch.zeros_like(value), torch.zeros_like(value), torch.zeros_like(value)
        for doubling in range(self.depth):
            forward = torch.rand_like(value) < 0.5
            walk = stride.signed(2.0 * forward.to(position.dtype) - 1.0)
            end = _either(forward, right, left)
            grown = _Branch(end, lead)
            going = live
            for leaf in range(2**doubling):
                at, rise = grown.leap(slope, walk, start)
                bad = diverging(rise)
                leapfrogs += going
                chances += torch.where(going & ~bad, (-rise).clamp(max=0.0).exp(), 0.0)
                diverged |= going & bad
                going = going & ~bad
                grown.draw(at, rise, going)
                going = going & ~grown.turned(leaf)
                if not bool(going.any()):
                    break
            depth += live
            # The new half is taken over those before it where it weighs more, so that chains move far.
            take = going & (torch.rand_like(value).log() < grown.weight - weight)
            draw, energy = chosen(take, grown.drawn, draw), torch.where(take, start + grown.rise, energy)
            weight = torch.logaddexp(weight, grown.weight)
            total = total + grown.total
            left, right = _either(forward, left, grown.end), _either(forward, grown.end, right)
            live = going & ~turning(left[1], right[1], total, lead)
            if not bool(live.any()):
                break
        metrics = {
            "acceptance": chances / leapfrogs,
            "energy": energy,
            "diverging": diverged,
            "depth": depth,
            "leapfrogs": leapfrogs,
            "step_size": memory["size"],
        }
        return draw, memory, metrics

    def adapt(self, position: Tensor, memory: Memory, metrics: Metrics) -> Memory:
        return self._warmup.step(position, memory, metrics["acceptance"])


Phase = tuple[Tensor, Tensor, Tensor]
"""Position, momentum and gradient."""


class _Branch:
    """A trajectory under way: its end, a multinomial draw from it, and what its parts need to see a turn."""

    def __init__(self, end: Phase, lead: int) -> None:
        position, momentum, _ = end
        self.end, self.lead = end, lead
        self.drawn, self.total = position, torch.zeros_like(momentum)
        self.weight = position.new_full(position.shape[:lead], -torch.inf)
        self.rise = torch.zeros_like(self.weight)
        self.marks: dict[int, tuple[Tensor, Tensor]] = {}

    def leap(self, slope: ValueAndGradient, stride: Stride, start: Tensor) -> tuple[Tensor, Tensor]:
        """One leapfrog: the new position, and by how much its energy is above `start`."""
        at, momentum, gradient = self.end
        momentum = stride.kicked(momentum, gradient)
        at = stride.moved(at, momentum)
        value, gradient = slope(at)
        momentum = stride.kicked(momentum, gradient)
        self.end = at, momentum, gradient
        return at, kinetic(momentum, self.lead) - value - start

    def draw(self, at: Tensor, rise: Tensor, going: Tensor) -> None:
        """Adds the last leapfrog, with weight exp(-rise), for the chains that go on."""
        weight = torch.logaddexp(self.weight, -rise)
        take = going & (torch.rand_like(rise).log() < -rise - weight)
        self.drawn, self.rise = chosen(take, at, self.drawn), torch.where(take, rise, self.rise)
        self.weight, self.total = weight, self.total + self.end[1]

    def turned(self, leaf: int) -> Tensor:
        """Where one of the balanced parts that end with this leaf has turned."""
        momentum, first = self.end[1], (leaf >> 1).bit_count()
        turned = torch.zeros_like(self.rise, dtype=torch.bool)
        if leaf % 2 == 0:
            self.marks[first] = momentum, self.total
            return turned
        trailing = (leaf ^ (leaf + 1)).bit_count() - 1
        for mark in range(first, first - trailing, -1):
            began, total = self.marks[mark]
            turned |= turning(began, momentum, self.total - total + began, self.lead)
        return turned


def turning(first: Tensor, last: Tensor, total: Tensor, lead: int) -> Tensor:
    """Where a trajectory with these end momenta and this sum of momenta comes back (whitened; Betancourt 2017)."""
    inner = total - 0.5 * (first + last)
    return (summed(first * inner, lead) <= 0) | (summed(last * inner, lead) <= 0)


def _either(mask: Tensor, yes: Phase, no: Phase) -> Phase:
    return chosen(mask, yes[0], no[0]), chosen(mask, yes[1], no[1]), chosen(mask, yes[2], no[2])
