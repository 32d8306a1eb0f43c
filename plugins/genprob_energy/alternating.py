"""Alternating chains: HMC on the reals given the labels, Gibbs on the labels given the reals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genprob.engine.kernels.density import LogDensity, ValueAndGradient
from genprob.engine.kernels.hmc import HMC
from genprob.engine.kernels.metropolis import accepted, chosen
from genprob.engine.kernels.single_site import SingleSiteGibbs, enumerated
from genprob.engine.move import Metrics
from genprob.engine.state import Memory
from genprob_energy.evidence import Evidence
from genprob_energy.truncated import draw_within
from genprob_energy.units import Units

_LEAPFROGS = 5
_VISITED = 8
"""Labels that are drawn anew in one step, at most."""


@dataclass(frozen=True, eq=False)
class Held:
    """What evidence makes of chains `[R, schema.width]`.

    Attributes:
        evidence: of each chain.
        still: `[R, reals]` reals that HMC leaves where they are: those given, and those in intervals.
        told: label -> `[R, levels]` log-likelihood of its levels, -inf at all but the one that is given.
        open: labels that some chain may change.
    """

    evidence: Evidence
    still: Tensor
    told: dict[int, Tensor]
    open: tuple[int, ...]

    @classmethod
    def of(cls, units: Units, evidence: Evidence) -> Held:
        still = evidence.fixed[:, units.reals].clone()
        for c, box in evidence.boxes.items():
            still[box.rows, c] = True
        told: dict[int, Tensor] = {}
        start = 0
        for b, j in enumerate(units.binaries):
            odds = evidence.value.new_zeros(len(evidence.value)) if evidence.odds is None else evidence.odds[:, b]
            told[j] = torch.stack([torch.zeros_like(odds), odds], -1)
        for j, size in units.levels.items():
            none = evidence.value.new_zeros(len(evidence.value), size)
            told[j] = none if evidence.likelihood is None else evidence.likelihood[:, start : start + size]
            start += size
        for j, weight in told.items():
            other = torch.arange(weight.shape[1], device=weight.device) != evidence.value[:, j, None]
            told[j] = weight.masked_fill(evidence.fixed[:, j, None] & other, -math.inf)
        return cls(evidence, still, told, tuple(j for j in told if not bool(evidence.fixed[:, j].all())))


@dataclass(frozen=True)
class Alternating:
    """A step of HMC on the reals, then labels one at a time in random order, each drawn from its exact conditional.

    Its chains are points `[..., chains, schema.width]` of `Units`. Reals that are held to intervals are proposed
    from the base's own law within them, one column after the other, and accepted or refused. Metrics: `acceptance`
    of HMC per chain and what else it tells; `moved`, the share of labels that changed.

    Arguments:
        log_density: `[..., chains, schema.width] -> [..., chains]`, in nats up to a constant.
        units: the columns.
        held: what is known of each chain, all dimensions of chains taken as one; None for nothing.
        value_and_gradient: the log-density with its gradient in the reals `[..., chains, reals]`; None for autograd.
        warmup: adapted steps.
        size: first step size.
    """

    log_density: LogDensity
    units: Units
    held: Held | None = None
    value_and_gradient: ValueAndGradient | None = None
    warmup: int = 0
    size: float = 0.1

    adjusted: ClassVar[bool] = True

    def init(self, position: Tensor) -> Memory:
        return self._hmc(position).init(position[..., self.units.reals]) if self.units.reals else {}

    def step(self, position: Tensor, memory: Memory) -> tuple[Tensor, Memory, Metrics]:
        if self.held is not None:
            evidence = self.held.evidence
            position = torch.where(evidence.fixed, evidence.value, position.flatten(0, -2)).reshape(position.shape)
        new, told = position.clone(), {}
        if self.units.reals:
            moved, memory, told = self._hmc(position).step(position[..., self.units.reals], memory)
            if self.held is not None:
                moved = torch.where(self._still(position), position[..., self.units.reals], moved)
            new[..., self.units.reals] = moved
            new = self._within(new)
        labels = [*self.units.binaries, *self.units.levels] if self.held is None else list(self.held.open)
        if labels:
            visited = [labels[at] for at in torch.randperm(len(labels))[:_VISITED].tolist()]
            groups = tuple(torch.tensor([j], device=position.device) for j in visited)
            new, _, flipped = SingleSiteGibbs(self._conditional, groups).step(new, {})
            told = told | {"moved": flipped["moved"]}
        return new, memory, told

    def adapt(self, position: Tensor, memory: Memory, metrics: Metrics) -> Memory:
        if not self.units.reals:
            return memory
        return self._hmc(position).adapt(position[..., self.units.reals], memory, metrics)

    def _hmc(self, position: Tensor) -> HMC:
        """HMC of the reals, the labels and what is held as in `position`."""
        reals, still = self.units.reals, None if self.held is None else self._still(position)

        def whole(z: Tensor) -> Tensor:
            points = position.clone()
            points[..., reals] = z if still is None else torch.where(still, position[..., reals], z)
            return points

        def log_density(z: Tensor) -> Tensor:
            return self.log_density(whole(z))

        def slope(z: Tensor) -> tuple[Tensor, Tensor]:
            assert self.value_and_gradient is not None
            value, gradient = self.value_and_gradient(whole(z))
            return value, gradient if still is None else torch.where(still, 0.0, gradient)

        inner = None if self.value_and_gradient is None else slope
        return HMC(log_density, _LEAPFROGS, self.warmup, mass="unit", size=self.size, value_and_gradient=inner)

    def _still(self, position: Tensor) -> Tensor:
        assert self.held is not None
        return self.held.still.reshape(*position.shape[:-1], -1)

    def _within(self, position: Tensor) -> Tensor:
        """Reals in intervals, moved by proposals from the base within them."""
        if self.held is None or not self.held.evidence.boxes:
            return position
        evidence, reals, heads = self.held.evidence, self.units.reals, self.units.heads
        now = position.flatten(0, -2)
        for c, box in evidence.boxes.items():
            j, scale = reals[c], heads.scale()[c].to(now.dtype)
            loc = heads.offset[c].to(now.dtype)
            proposal = now.clone()
            proposal[box.rows, j] = draw_within(loc.expand(len(box.rows)), scale, box.lower, box.upper)
            base = -0.5 * (((proposal[:, j] - loc) / scale).square() - ((now[:, j] - loc) / scale).square())
            _, accept = accepted(self.log_density(proposal) - self.log_density(now) - base)
            now = chosen(accept, proposal, now)
        return now.reshape(position.shape)

    def _conditional(self, position: Tensor, sites: Tensor) -> Tensor:
        j = int(sites[0])
        found = enumerated(self.log_density, self.units.levels.get(j, 2))(position, sites)
        if self.held is None:
            return found
        return found + self.held.told[j].reshape(*position.shape[:-1], 1, -1)
