"""Annealed sequential Monte Carlo: many problems at once, each on its own ladder of temperatures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from genprob.engine.state import Memory

RATE = 0.9
"""Conditional effective sample size, as a share of the particles, that the next temperature leaves."""
MOST_TEMPERATURES = 200
_RESAMPLE = 0.5
"""Share of the particles below which the effective sample size asks for resampling."""
_COLDEST = math.log(1e-12)


class Path(Protocol):
    """From a normalised law that is easily drawn (the base) to one known up to a constant, for G problems at once.

    Points are `[G, J, width]`; the law at inverse temperature b is proportional to exp(log_base + b * gain).
    """

    def start(self, particles: int) -> Tensor:
        """Draws of the base, `[G, particles, width]`."""
        ...

    def scores(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """log of the base and the gain (log of the wanted law less log of the base), `[G, J]` each.

        A gain of -inf excludes a point. Where the kernel follows gradients, both are differentiable in the points.
        """
        ...


class TemperedKernel(Protocol):
    """A Markov transition on `[G, J, width]` that leaves each problem's law at its present temperature invariant."""

    def init(self, points: Tensor) -> Memory: ...

    def step(self, points: Tensor, log_weight: Tensor, beta: Tensor, memory: Memory) -> tuple[Tensor, Memory, Tensor]:
        """New points, the memory, and the share of accepted proposals `[G]`; `beta [G]` is the inverse temperature."""
        ...


@dataclass(frozen=True)
class Annealed:
    """Weighted particles of the wanted laws.

    Attributes:
        points: `[G, J, width]`.
        log_weight: `[G, J]`, normalised; -inf everywhere where no particle was possible.
        log_ratio: `[G]` log of the normaliser of exp(log_base + gain); -inf where no particle was possible.
        ancestor: `[G, J]` which particle of the start each one descends from.
        temperatures: `[G]` rungs that were needed.
        acceptance: `[G]` share of accepted proposals over the last rungs.
        finished: `[G]` whether the last rung was reached.
    """

    points: Tensor
    log_weight: Tensor
    log_ratio: Tensor
    ancestor: Tensor
    temperatures: Tensor
    acceptance: Tensor
    finished: Tensor

    @property
    def variance(self) -> Tensor:
        """`[G]` estimated relative variance of exp(log_ratio), from whom the particles descend.

        The sum of squared weights of families (Chan and Lai 2013; Lee and Whiteley 2018, Variance estimation in the
        particle filter), less what equal families of one would have.
        """
        weight = torch.nan_to_num(self.log_weight.exp())
        family = torch.zeros_like(weight).scatter_add_(1, self.ancestor, weight)
        return (family.square().sum(1) - 1 / weight.shape[1]).clamp(min=0.0)


@torch.no_grad()
def anneal(
    path: Path, kernel: TemperedKernel, particles: int, *, rate: float = RATE, most: int = MOST_TEMPERATURES
) -> Annealed:
    """Draws the base and cools it to the wanted law (Del Moral, Doucet and Jasra 2006, Sequential Monte Carlo).

    Every problem chooses its next temperature by bisection, such that the conditional effective sample size is `rate`
    of the particles (Zhou, Johansen and Aston 2016, Toward automatic model comparison), resamples systematically when
    the effective sample size is below half, and is then moved by the kernel.
    """
    points = path.start(particles)
    groups = len(points)
    gain = _finite(path.scores(points))[1]
    possible = torch.isfinite(gain)
    log_weight = torch.where(possible, -math.log(particles), -math.inf).to(gain.dtype)
    log_ratio = torch.logsumexp(log_weight, 1)
    log_weight = log_weight - torch.where(torch.isfinite(log_ratio), log_ratio, 0.0)[:, None]
    ancestor = torch.arange(particles, device=points.device).expand(groups, -1)
    beta = torch.where(torch.isfinite(log_ratio), 0.0, 1.0).to(gain.dtype)
    rungs = torch.zeros(groups, dtype=torch.long, device=points.device)
    acceptance = torch.ones_like(beta)
    memory = kernel.init(points)
    for _ in range(most):
        active = beta < 1
        if not active.any():
            break
        step = _next(log_weight, gain, beta, rate)
        moved = log_weight + torch.where(active[:, None], step[:, None] * gain, 0.0)
        increment = torch.logsumexp(moved, 1)
        log_weight = torch.where(active[:, None], moved - increment[:, None], log_weight)
        log_ratio = log_ratio + torch.where(active, increment, 0.0)
        beta, rungs = torch.where(active, beta + step, beta), rungs + active
        weight = log_weight.exp()
        poor = active & (1 / weight.square().sum(1) < _RESAMPLE * particles)
        if poor.any():
            index = torch.where(poor[:, None], systematic(weight), torch.arange(particles, device=points.device))
            points = points.gather(1, index[..., None].expand_as(points))
            ancestor = ancestor.gather(1, index)
            log_weight = torch.where(poor[:, None], -math.log(particles), log_weight)
        points, memory, accepted = kernel.step(points, log_weight, beta, memory)
        acceptance = torch.where(active, 0.5 * (acceptance + accepted), acceptance)
        gain = _finite(path.scores(points))[1]
    return Annealed(points, log_weight, log_ratio, ancestor, rungs, acceptance, beta >= 1)


def systematic(weight: Tensor) -> Tensor:
    """Indices `[G, J]` drawn in proportion to `weight [G, J]` by one uniform number a row."""
    groups, particles = weight.shape
    cumulative = weight.nan_to_num().cumsum(1)
    cumulative = cumulative / cumulative[:, -1:].clamp(min=1e-300)
    u = torch.rand(groups, 1, dtype=weight.dtype, device=weight.device)
    at = (torch.arange(particles, dtype=weight.dtype, device=weight.device) + u) / particles
    return torch.searchsorted(cumulative.contiguous(), at, right=True).clamp(max=particles - 1)


def _next(log_weight: Tensor, gain: Tensor, beta: Tensor, rate: float) -> Tensor:
    """The step in inverse temperature of each problem, `[G]`."""

    def left(step: Tensor) -> Tensor:
        """log of the conditional effective sample size, as a share."""
        scaled = step[:, None] * torch.where(torch.isfinite(log_weight), gain, 0.0)
        return 2 * torch.logsumexp(log_weight + scaled, 1) - torch.logsumexp(log_weight + 2 * scaled, 1)

    rest = 1 - beta
    low, high = torch.full_like(beta, _COLDEST), rest.clamp(min=1e-300).log()
    enough = left(rest) >= math.log(rate)
    for _ in range(30):
        middle = 0.5 * (low + high)
        fine = left(middle.exp()) >= math.log(rate)
        low, high = torch.where(fine, middle, low), torch.where(fine, high, middle)
    return torch.where(enough, rest, torch.minimum(low.exp(), rest))


def _finite(scores: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    log_base, gain = scores
    return log_base, torch.where(torch.isnan(gain) | (gain == math.inf) | torch.isnan(log_base), -math.inf, gain)


@dataclass(frozen=True)
class Cooling:
    """Moves the continuous columns jointly and the listed ones by single changes, each problem with its own step size.

    Continuous columns are moved in coordinates whitened by the particles' own covariance: by leapfrog trajectories
    where there is a gradient, accepted or refused (Hamiltonian Monte Carlo), else by a random walk. A listed column
    holds the index of its value; one at random is proposed another index, uniformly.

    Arguments:
        path: whose laws at a temperature stay invariant.
        continuous: columns without bounds.
        listed: columns that hold an index.
        size: `[G, listed]` how many indices each has.
        gradient: whether the path's scores can be differentiated in the continuous columns.
        leapfrogs: longest trajectory.
    """

    path: Path
    continuous: tuple[int, ...]
    listed: tuple[int, ...] = ()
    size: Tensor | None = None
    gradient: bool = False
    leapfrogs: int = 8

    def init(self, points: Tensor) -> Memory:
        width = max(1, len(self.continuous))
        size = 0.6 if self.gradient else 2.38 / math.sqrt(width)
        return {"size": torch.full((len(points),), size, dtype=points.dtype, device=points.device)}

    def step(self, points: Tensor, log_weight: Tensor, beta: Tensor, memory: Memory) -> tuple[Tensor, Memory, Tensor]:
        size, width = memory["size"], len(self.continuous)
        accepted = torch.zeros_like(beta)
        level = self._tempered(points, beta)
        if width:
            factor = self._spread(points, log_weight)
            sweeps = 3 if self.gradient else min(4 + 2 * width, 24)
            target = 0.8 if self.gradient else 0.3
            for _ in range(sweeps):
                move = self._leap if self.gradient else self._walk
                points, level, chance = move(points, level, beta, size, factor)
                rate = chance.mean(1)
                size = (size * (0.5 * (rate - target)).exp()).clamp(1e-6, 4.0)
                accepted = accepted + rate / sweeps
        if self.listed:
            changes = min(2 * len(self.listed), 32)
            taken = torch.zeros_like(beta)
            for _ in range(changes):
                points, level, chance = self._change(points, level, beta)
                taken = taken + chance.mean(1) / changes
            accepted = accepted if width else taken
        return points, {"size": size}, accepted

    def _tempered(self, points: Tensor, beta: Tensor) -> Tensor:
        log_base, gain = _finite(self.path.scores(points))
        return torch.where(torch.isfinite(gain), log_base + beta[:, None] * gain, -math.inf)

    def _spread(self, points: Tensor, log_weight: Tensor) -> Tensor:
        """Cholesky factors `[G, d, d]` of the particles' covariances."""
        x = points[..., list(self.continuous)]
        weight = log_weight.exp().nan_to_num()[..., None]
        weight = weight / weight.sum(1, keepdim=True).clamp(min=1e-300)
        away = x - (weight * x).sum(1, keepdim=True)
        covariance = (weight * away).transpose(1, 2) @ away
        # Drawn towards its diagonal: few particles make a poor covariance of many columns.
        diagonal = torch.diag_embed(covariance.diagonal(dim1=1, dim2=2).clamp(min=1e-12))
        share = x.shape[-1] / (x.shape[-1] + 0.2 * x.shape[1])
        return torch.linalg.cholesky((1 - share) * covariance + (share + 1e-9) * diagonal)

    def _walk(self, points: Tensor, level: Tensor, beta: Tensor, size: Tensor, factor: Tensor) -> _Moved:
        at = points.clone()
        noise = torch.randn(*points.shape[:2], len(self.continuous), dtype=points.dtype, device=points.device)
        at[..., list(self.continuous)] += size[:, None, None] * noise @ factor.transpose(1, 2)
        return _accept(points, at, level, self._tempered(at, beta))

    def _leap(self, points: Tensor, level: Tensor, beta: Tensor, size: Tensor, factor: Tensor) -> _Moved:
        columns, length = list(self.continuous), size[:, None, None]
        slope = self._slope(points, beta)[1]
        momentum = start = torch.randn_like(slope)
        at, after = points, level
        for _ in range(1 + int(torch.randint(self.leapfrogs, ()))):
            momentum = momentum + 0.5 * length * slope @ factor
            at = at.clone()
            at[..., columns] += length * momentum @ factor.transpose(1, 2)
            after, slope = self._slope(at, beta)
            momentum = momentum + 0.5 * length * slope @ factor
        energy = 0.5 * (start.square().sum(-1) - momentum.square().sum(-1))
        return _accept(points, at, level, after, energy)

    def _slope(self, points: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            x = points[..., list(self.continuous)].detach().requires_grad_()
            at = points.clone()
            at[..., list(self.continuous)] = x
            value = self._tempered(at, beta)
            (slope,) = torch.autograd.grad(torch.where(torch.isfinite(value), value, 0.0).sum(), x)
        return value.detach(), slope.nan_to_num(0.0, 0.0, 0.0)

    def _change(self, points: Tensor, level: Tensor, beta: Tensor) -> _Moved:
        assert self.size is not None
        groups, particles, _ = points.shape
        which = torch.randint(len(self.listed), (groups, particles), device=points.device)
        column = torch.tensor(self.listed, device=points.device)[which][..., None]
        count = self.size.gather(1, which)
        u = torch.rand(groups, particles, dtype=points.dtype, device=points.device)
        by = 1 + torch.floor(u * (count - 1)).clamp(max=(count - 2).clamp(min=0).to(u.dtype))
        now = points.gather(2, column)[..., 0]
        at = points.scatter(2, column, torch.remainder(now + by, count)[..., None])
        return _accept(points, at, level, self._tempered(at, beta))


_Moved = tuple[Tensor, Tensor, Tensor]
"""Points, their tempered log-densities, and the probability of acceptance of each proposal."""


def _accept(old: Tensor, new: Tensor, before: Tensor, after: Tensor, more: Tensor | float = 0.0) -> _Moved:
    # A proposal into nowhere is refused, like any other.
    chance = torch.nan_to_num(after - before + more, nan=-math.inf).clamp(max=0.0).exp()
    taken = torch.rand_like(chance) < chance
    return torch.where(taken[..., None], new, old), torch.where(taken, after, before), chance
