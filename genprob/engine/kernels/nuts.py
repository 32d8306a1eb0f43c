"""The no-U-turn sampler, all chains at once."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import ClassVar

import torch
from torch import Tensor

from genprob.engine.kernels.density import (
    LogDensity,
    ValueAndGradient,
    differentiated,
    summed,
    widened,
)
from genprob.engine.kernels.hmc import diverging, kinetic
from genprob.engine.kernels.metropolis import chosen
from genprob.engine.kernels.stride import Stride
from genprob.engine.kernels.warmup import Mass, WarmedUp
from genprob.engine.move import Metrics
from genprob.engine.state import Memory


@dataclass(frozen=True)
class NUTS(WarmedUp):
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
        compact: ask the density for no more than the chains whose trajectories still grow, once these are half of
            them or fewer: faster, where a density does not mind which chains it is asked for. Not with queries.
    """

    log_density: LogDensity
    warmup: int = 0
    target: float = 0.8
    depth: int = 10
    value_and_gradient: ValueAndGradient | None = None
    mass: Mass = "diagonal"
    size: float = 0.1
    compact: bool = False

    adjusted: ClassVar[bool] = True

    def step(self, position: Tensor, memory: Memory) -> tuple[Tensor, Memory, Metrics]:
        slope = differentiated(self.log_density, self.value_and_gradient)
        value, gradient = slope(position)
        stride = Stride.of(memory, position, value.ndim, dense=self.mass == "dense")
        tree = _Tree.at(position, torch.randn_like(position), gradient, value)
        whole, chains = tree, None
        for doubling in range(self.depth):
            tree.double(slope, stride, doubling)
            count = int(tree.live.sum())
            if count == 0:
                break
            if self.compact and value.ndim == 1 and 2 * count <= len(tree.live):
                whole = _merged(whole, tree, chains)
                keep = tree.live.nonzero()[:, 0]
                chains = keep if chains is None else chains[keep]
                tree = tree.only(keep)
        whole = _merged(whole, tree, chains)
        metrics = {
            "acceptance": whole.chances / whole.leapfrogs,
            "energy": whole.energy,
            "diverging": whole.diverged,
            "depth": whole.depth,
            "leapfrogs": whole.leapfrogs,
            "step_size": memory["size"],
        }
        return whole.draw, memory, metrics


Phase = tuple[Tensor, Tensor, Tensor]
"""Position, momentum and gradient."""

# Leapfrogs that are looked at in one go: a step in Python for each would cost more than the leapfrog.
_TOGETHER = 8


@dataclass
class _Tree:
    """A trajectory of each chain: its ends, the draw from it, and what is told of it.

    Attributes:
        start: energy before the first leapfrog.
        draw, energy: the position drawn, and its energy.
        weight, total: log of the sum of the weights, and the sum of the momenta, of all its positions.
        live: chains that double again.
    """

    left: Phase
    right: Phase
    start: Tensor
    draw: Tensor
    energy: Tensor
    weight: Tensor
    total: Tensor
    live: Tensor
    diverged: Tensor
    chances: Tensor
    leapfrogs: Tensor
    depth: Tensor

    @classmethod
    def at(cls, position: Tensor, momentum: Tensor, gradient: Tensor, value: Tensor) -> _Tree:
        """A single point."""
        energy, none, end = (
            kinetic(momentum, value.ndim) - value,
            torch.zeros_like(value),
            (position, momentum, gradient),
        )
        live, bad = torch.ones_like(value, dtype=torch.bool), torch.zeros_like(value, dtype=torch.bool)
        return cls(end, end, energy, position, energy, none, momentum, live, bad, none, none, none)

    def double(self, slope: ValueAndGradient, stride: Stride, doubling: int) -> None:
        """Grows by as much again, each chain to a side of its own choice."""
        forward = torch.rand_like(self.start) < 0.5
        walk = stride.signed(2.0 * forward.to(self.start.dtype) - 1.0)
        half = _Half(_either(forward, self.right, self.left), self.start, self.live)
        size = min(2**doubling, _TOGETHER)
        for part in range(2**doubling // size):
            half.walk(slope, walk, part, size)
            if not bool(half.going.any()):
                break
        # The new half is taken over those before it where it weighs more, so that chains move far.
        take = half.going & (torch.rand_like(self.start).log() < half.weight - self.weight)
        self.draw = chosen(take, half.drawn, self.draw)
        self.energy = torch.where(take, self.start + half.rise, self.energy)
        self.weight, self.total = torch.logaddexp(self.weight, half.weight), self.total + half.total
        self.left, self.right = _either(forward, self.left, half.end), _either(forward, half.end, self.right)
        self.depth, self.diverged = self.depth + self.live, self.diverged | half.diverged
        self.chances, self.leapfrogs = self.chances + half.chances, self.leapfrogs + half.leapfrogs
        self.live = half.going & ~turning(self.left[1], self.right[1], self.total, self.start.ndim)

    def only(self, chains: Tensor) -> _Tree:
        """The trees of some chains."""
        left, right = (tuple(part[chains] for part in end) for end in (self.left, self.right))
        rest = {item.name: getattr(self, item.name)[chains] for item in fields(self)[2:]}
        return _Tree(left, right, **rest)  # type: ignore[arg-type]


def _merged(whole: _Tree, part: _Tree, chains: Tensor | None) -> _Tree:
    """The whole with what is told of some chains, None for all, taken from the part."""
    if chains is None:
        return part
    told = ("draw", "energy", "chances", "leapfrogs", "depth", "diverged")
    return replace(whole, **{name: getattr(whole, name).index_copy(0, chains, getattr(part, name)) for name in told})


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
