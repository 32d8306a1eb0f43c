"""Lifted points: what couplings act on and the hidden units' logits, so that no product is made twice."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from genprob.engine.move import Metrics
from genprob.engine.state import Memory
from genprob_energy.free_energy import FreeEnergy
from genprob_energy.machine import fired
from genprob_energy.units import Units


@dataclass(frozen=True, eq=False)
class Lifted:
    """Centred couplings of units without scales, over lifted points `[n, features + hidden]`.

    -E(x, h) = d' weight (h - centre) + visible . d + hidden . h, with d = f(x) - offset. As a kernel it is block Gibbs
    in the order hidden, visible: the hidden units fire by the logits that the step before has found, the visible ones
    are drawn, and the new logits are kept for whoever looks at the chains in between. Where couplings change between
    two steps, that is as if the hidden units had been drawn at the end of the step before, by the couplings of then.
    """

    units: Units
    weight: Tensor
    visible: Tensor
    hidden: Tensor
    offset: Tensor
    centre: Tensor

    def lift(self, points: Tensor) -> Tensor:
        """Deviations of points `[n, schema.width]`, and the hidden units' logits."""
        out = points.new_empty(len(points), sum(self.weight.shape))
        away, pull = self._split(out)
        torch.sub(self.units.features(points), self.offset, out=away)
        torch.addmm(self.hidden, away, self.weight, out=pull)
        return out

    def energy(self, lifted: Tensor) -> Tensor:
        """The free energy of each, up to a constant; differentiable in the couplings."""
        away, pull = self._split(lifted)
        return torch.as_tensor(FreeEnergy.apply(away, pull, self.weight, self.visible, self.hidden, self.centre))

    def init(self, position: Tensor) -> Memory:
        return {}

    def step(self, position: Tensor, memory: Memory) -> tuple[Tensor, Memory, Metrics]:
        away, pull = self._split(position)
        drive = torch.addmm(self.visible, fired(pull).sub_(self.centre), self.weight.mT)
        new = self.lift(self.units.draw(drive))
        flipped = torch.count_nonzero(self._split(new)[0] != away) / away.numel()
        return new, memory, {"flipped": flipped}

    def _split(self, lifted: Tensor) -> tuple[Tensor, Tensor]:
        features = len(self.weight)
        return lifted[:, :features], lifted[:, features:]
