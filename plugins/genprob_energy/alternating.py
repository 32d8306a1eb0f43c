"""Alternating chains: HMC on the reals given the labels, Gibbs on the labels given the reals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genprob.engine.kernels.density import ValueAndGradient
from genprob.engine.kernels.hmc import HMC
from genprob.engine.kernels.metropolis import accepted, chosen
from genprob.engine.move import Metrics
from genprob.engine.state import Memory
from genprob_energy.evidence import Evidence
from genprob_energy.mixed_law import AnyLaw, MixedLaw
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
        law: `[..., chains, schema.width] -> [..., chains]`, in nats up to a constant, of reals and of labels apart.
        units: the columns.
        held: what is known of each chain, all dimensions of chains taken as one; None for nothing.
        warmup: adapted steps.
        size: first step size.
    """

    law: MixedLaw | AnyLaw
    units: Units
    held: Held | None = None
    warmup: int = 0
    size: float = 0.1

    adjusted: ClassVar[bool] = True

    def init(self, position: Tensor) -> Memory:
        if not self.units.reals:
            return {}
        return self._hmc(position).begun(position[..., self.units.reals], position.ndim - 1)

    def step(self, position: Tensor, memory: Memory) -> tuple[Tensor, Memory, Metrics]:
        lead = position.shape[:-1]
        if self.held is not None:
            evidence = self.held.evidence
            position = torch.where(evidence.fixed, evidence.value, position.flatten(0, -2)).reshape(position.shape)
        new, told = position, {}
        if self.units.reals:
            slope, z = self.law.given_labels(position), position[..., self.units.reals]
            moved, memory, told = self._hmc(position, slope).step(z, memory)
            if self.held is not None:
                moved = torch.where(self.held.still.reshape(moved.shape), z, moved)
                moved = self._within(moved, slope)
            new = position.clone()
            new[..., self.units.reals] = moved
        labels = [*self.units.binaries, *self.units.levels] if self.held is None else list(self.held.open)
        if labels:
            visited = [labels[at] for at in torch.randperm(len(labels))[:_VISITED].tolist()]
            known = {} if self.held is None else {j: self.held.told[j].reshape(*lead, -1) for j in visited}
            drawn = self.law.redrawn(new, visited, known)
            new, told = drawn, told | {"moved": (drawn != new).to(drawn.dtype).mean(-1)}
        return new, memory, told

    def adapt(self, position: Tensor, memory: Memory, metrics: Metrics) -> Memory:
        if not self.units.reals:
            return memory
        return self._hmc(position).adapt(position[..., self.units.reals], memory, metrics)

    def _hmc(self, position: Tensor, slope: ValueAndGradient | None = None) -> HMC:
        """HMC of the reals, the labels and what is held as in `position`; `slope` of reals given its labels."""
        given = self.law.given_labels(position) if slope is None else slope
        free = given if self.held is None else _still(given, self.held, position[..., self.units.reals])
        return HMC(lambda z: free(z)[0], _LEAPFROGS, self.warmup, mass="unit", size=self.size, value_and_gradient=free)

    def _within(self, z: Tensor, slope: ValueAndGradient) -> Tensor:
        """Reals `[..., reals]` in intervals, moved by proposals from the base within them."""
        if self.held is None or not self.held.evidence.boxes:
            return z
        heads, now = self.units.heads, slope(z)[0]
        for c, box in self.held.evidence.boxes.items():
            scale, loc = heads.scale()[c].to(z.dtype), heads.offset[c].to(z.dtype)
            flat = z.flatten(0, -2).clone()
            flat[box.rows, c] = draw_within(loc.expand(len(box.rows)), scale, box.lower, box.upper)
            proposal = flat.reshape(z.shape)
            then = slope(proposal)[0]
            base = -0.5 * (((proposal[..., c] - loc) / scale).square() - ((z[..., c] - loc) / scale).square())
            _, accept = accepted(then - now - base)
            z, now = chosen(accept, proposal, z), torch.where(accept, then, now)
        return z


def _still(slope: ValueAndGradient, held: Held, z: Tensor) -> ValueAndGradient:
    """The log-density of reals whatever stands at those that are held, which are as in `z`."""
    still = held.still.reshape(z.shape)

    def free(at: Tensor) -> tuple[Tensor, Tensor]:
        value, gradient = slope(torch.where(still, z, at))
        return value, gradient.masked_fill(still, 0.0)

    return free
