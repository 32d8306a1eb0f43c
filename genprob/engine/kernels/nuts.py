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
    widened,
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
            half = _Half(_either(forward, right, left), start, live)
            size = min(2**doubling, _TOGETHER)
            for part in range(2**doubling // size):
                half.walk(slope, walk, part, size)
                if not bool(half.going.any()):
                    break
            depth += live
            chances, leapfrogs, diverged = chances + half.chances, leapfrogs + half.leapfrogs, diverged | half.diverged
            # The new half is taken over those before it where it weighs more, so that chains move far.
            take = half.going & (torch.rand_like(value).log() < half.weight - weight)
            draw, energy = chosen(take, half.drawn, draw), torch.where(take, start + half.rise, energy)
            weight = torch.logaddexp(weight, half.weight)
            total = total + half.total
            left, right = _either(forward, left, half.end), _either(forward, half.end, right)
            live = half.going & ~turning(left[1], right[1], total, lead)
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

# Leapfrogs that are looked at in one go: a step in Python for each would cost more than the leapfrog.
_TOGETHER = 16


class _Half:
    """The new half of a tree under way: its end, a multinomial draw from it, and what its parts need to see a turn.

    Attributes:
        end: where the walk has come.
        going: chains whose new half has neither turned nor diverged.
        drawn, rise: a draw, and by how much its energy is above the start's.
        weight, total: log of the sum of the weights, and the sum of the momenta, of all leapfrogs.
        chances, leapfrogs, diverged: for the metrics, of the chains that were going.
    """

    def __init__(self, end: Phase, start: Tensor, live: Tensor) -> None:
        self.end, self.going, self._start = end, live, start
        self.drawn, self.total = end[0], torch.zeros_like(end[1])
        self.rise, self.weight = torch.zeros_like(start), torch.full_like(start, -torch.inf)
        self.chances, self.leapfrogs = torch.zeros_like(start), torch.zeros_like(start)
        self.diverged = torch.zeros_like(live)
        self._marks: dict[int, tuple[Tensor, Tensor]] = {}

    def walk(self, slope: ValueAndGradient, stride: Stride, part: int, size: int) -> None:
        """`size` leapfrogs, a power of two: part number `part` of the half."""
        at, momentum, gradient = self.end
        positions, momenta, values = [], [], []
        for _ in range(size):
            momentum = stride.kicked(momentum, gradient)
            at = stride.moved(at, momentum)
            value, gradient = slope(at)
            momentum = stride.kicked(momentum, gradient)
            positions.append(at)
            momenta.append(momentum)
            values.append(value)
        self.end = at, momentum, gradient
        walked = torch.stack(momenta)
        lead = self.rise.ndim
        rise = kinetic(walked, lead + 1) - torch.stack(values) - self._start
        bad = diverging(rise)
        rise = rise.masked_fill(bad, torch.inf)
        # A chain's walk ends with its first bad leapfrog, which is counted.
        counted = (bad.cumsum(0) - bad.to(torch.int64) == 0) & self.going
        self.chances = self.chances + ((-rise).clamp(max=0.0).exp() * counted).sum(0)
        self.leapfrogs = self.leapfrogs + counted.sum(0)
        met = bad.any(0)
        self.diverged = self.diverged | (self.going & met)
        self.going = self.going & ~met
        self._draw(torch.stack(positions), rise)
        self._turn(walked, part)

    def _draw(self, positions: Tensor, rise: Tensor) -> None:
        """One of the leapfrogs with weights exp(-rise), taken over that of the earlier parts by their weights."""
        weight = torch.logsumexp(-rise, 0)
        which = (-rise + gumbel(rise)).argmax(0, keepdim=True)
        self.weight = torch.logaddexp(self.weight, weight)
        take = self.going & (torch.rand_like(weight).log() < weight - self.weight)
        index = widened(which, positions.ndim).expand(1, *positions.shape[1:])
        self.drawn = chosen(take, positions.gather(0, index)[0], self.drawn)
        self.rise = torch.where(take, rise.gather(0, which)[0], self.rise)

    def _turn(self, walked: Tensor, part: int) -> None:
        """Ends the chains of which one of the balanced trees that end with this part has turned."""
        lead, size = self.rise.ndim, len(walked)
        sums, width = walked, 1
        while width < size:
            sums, width = sums[0::2] + sums[1::2], 2 * width
            turned = turning(walked[0::width], walked[width - 1 :: width], sums, lead + 1)
            self.going = self.going & ~turned.any(0)
        before, self.total = self.total, self.total + sums[0]
        first = (part >> 1).bit_count()
        if part % 2 == 0:
            self._marks[first] = walked[0], before
            return
        trailing = (part ^ (part + 1)).bit_count() - 1
        for mark in range(first, first - trailing, -1):
            began, before = self._marks[mark]
            self.going = self.going & ~turning(began, walked[-1], self.total - before, lead)


def turning(first: Tensor, last: Tensor, total: Tensor, lead: int) -> Tensor:
    """Where a trajectory with these end momenta and this sum of momenta comes back (whitened; Betancourt 2017)."""
    inner = total - 0.5 * (first + last)
    return (summed(first * inner, lead) <= 0) | (summed(last * inner, lead) <= 0)


def _either(mask: Tensor, yes: Phase, no: Phase) -> Phase:
    return chosen(mask, yes[0], no[0]), chosen(mask, yes[1], no[1]), chosen(mask, yes[2], no[2])


def gumbel(like: Tensor) -> Tensor:
    """Standard Gumbel noise: the argmax of log-weights plus it is a draw by these weights."""
    return -torch.empty_like(like).exponential_().log()
