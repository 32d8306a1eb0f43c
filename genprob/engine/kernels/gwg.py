"""Gibbs with gradients: informed flips of discrete sites."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genprob.engine.kernels.density import LogDensity, ValueAndGradient, checked, differentiated
from genprob.engine.kernels.gibbs import categorical
from genprob.engine.kernels.metropolis import accepted, chosen
from genprob.engine.move import Metrics
from genprob.engine.state import Memory


@dataclass(frozen=True)
class GibbsWithGradients:
    """Proposes one change per step, weighed by the gradient of the log-density (Grathwohl et al. 2021).

    The gradient tells by a Taylor step what each change would gain; the change is drawn with probability
    proportional to exp(gain / 2), and accepted or refused. Metrics: `acceptance` per chain.

    Arguments:
        log_density: of zeros and ones `[chains, *sites] -> [chains]`, or with leading queries; differentiable as if
            they were real. For categories, of one-hot codes `[chains, *sites, categories]`.
        one_hot: whether the last dimension holds one-hot categories.
        value_and_gradient: the log-density with its gradient, where an analytic one is faster than autograd.
    """

    log_density: LogDensity
    one_hot: bool = False
    value_and_gradient: ValueAndGradient | None = None

    adjusted: ClassVar[bool] = True

    def init(self, position: Tensor) -> Memory:
        checked(self.log_density(position), position)
        return {}

    def step(self, position: Tensor, memory: Memory) -> tuple[Tensor, Memory, Metrics]:
        slope = differentiated(self.log_density, self.value_and_gradient)
        before, gradient = slope(position)
        lead = before.ndim
        there = self._proposals(position, gradient, lead)
        change = categorical(there)
        proposal = self._changed(position, change, lead)
        after, gradient = slope(proposal)
        back = self._proposals(proposal, gradient, lead)
        undone = self._undone(position, change, lead)
        gain = after - before + _at(back, undone) - _at(there, change)
        chance, accept = accepted(gain)
        return chosen(accept, proposal, position), memory, {"acceptance": chance}

    def _proposals(self, position: Tensor, gradient: Tensor, lead: int) -> Tensor:
        """Log-probabilities of each change, `[..., chains, changes]`: sites, or sites times categories."""
        if not self.one_hot:
            gain = (1 - 2 * position) * gradient
        else:
            gain = gradient - (position * gradient).sum(-1, keepdim=True)
            gain = torch.where(position > 0, -math.inf, gain)
        return torch.log_softmax(0.5 * gain.flatten(lead), -1)

    def _changed(self, position: Tensor, change: Tensor, lead: int) -> Tensor:
        new = position.clone()
        if not self.one_hot:
            flat = new.view(*position.shape[:lead], -1)
            return flat.scatter(-1, change.unsqueeze(-1), 1 - flat.gather(-1, change.unsqueeze(-1))).view_as(position)
        categories = position.shape[-1]
        flat = new.view(*position.shape[:lead], -1, categories)
        site, category = change // categories, change % categories
        code = torch.nn.functional.one_hot(category, categories).to(position.dtype).unsqueeze(-2)
        index = site[..., None, None].expand(*change.shape, 1, categories)
        return flat.scatter(-2, index, code).view_as(position)

    def _undone(self, position: Tensor, change: Tensor, lead: int) -> Tensor:
        """The change that leads back to `position`."""
        if not self.one_hot:
            return change
        categories = position.shape[-1]
        was = position.reshape(*position.shape[:lead], -1, categories).argmax(-1)
        site = change // categories
        return site * categories + was.gather(-1, site.unsqueeze(-1)).squeeze(-1)


def _at(values: Tensor, index: Tensor) -> Tensor:
    return values.gather(-1, index.unsqueeze(-1)).squeeze(-1)
