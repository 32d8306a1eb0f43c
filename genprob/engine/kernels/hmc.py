"""Hamiltonian Monte Carlo with trajectories of random length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genprob.engine.kernels.density import LogDensity, ValueAndGradient, differentiated
from genprob.engine.kernels.metropolis import accepted, chosen
from genprob.engine.kernels.stride import Stride
from genprob.engine.kernels.warmup import Mass, WarmedUp
from genprob.engine.move import Metrics
from genprob.engine.state import Memory

DIVERGED = 1000.0
"""Nats by which the energy of a trajectory may rise before it is called divergent."""


@dataclass(frozen=True)
class HMC(WarmedUp):
    """Leapfrog trajectories, accepted or refused (Duane et al. 1987; Hoffman and Gelman 2014 for the adaptation).

    All chains share the length of a trajectory, drawn anew for each; those of one query share step size and mass.
    `adapt` is to be called after each of the first `warmup` steps; then both are frozen, and the chain leaves its law
    invariant. Metrics, one number per chain: `acceptance`, `energy` (of the Hamiltonian), `diverging`; per query:
    `step_size`; and `leapfrogs`.

    Arguments:
        log_density: `[chains, *event] -> [chains]`, or with leading queries, in nats up to a constant.
        leapfrogs: longest trajectory in leapfrog steps.
        warmup: adapted steps.
        target: wanted mean probability of acceptance.
        value_and_gradient: the log-density with its gradient, where an analytic one is faster than autograd.
        mass: the inverse mass that is learned: `unit`, `diagonal` or `dense`.
        size: first step size.
        lasting: the density stays what it is, so that its value and gradient at the position are carried along and not
            worked out anew at each step: a saving of one in 1 + the mean number of leapfrog steps.
    """

    log_density: LogDensity
    leapfrogs: int = 16
    warmup: int = 0
    target: float = 0.8
    value_and_gradient: ValueAndGradient | None = None
    mass: Mass = "diagonal"
    size: float = 0.1
    lasting: bool = False

    adjusted: ClassVar[bool] = True

    def step(self, position: Tensor, memory: Memory) -> tuple[Tensor, Memory, Metrics]:
        slope = differentiated(self.log_density, self.value_and_gradient)
        at = position
        known = self.lasting and "gradient" in memory
        before, gradient = (memory["value"], memory["gradient"]) if known else slope(position)
        begun = gradient
        stride = Stride.of(memory, position, before.ndim, dense=self.mass == "dense")
        start = torch.randn_like(position)
        after, momentum = before, start
        leapfrogs = 1 + int(torch.randint(self.leapfrogs, ()))
        for taken in range(leapfrogs):
            # Two half kicks make a whole one, except at the ends.
            momentum = stride.kicked(momentum, gradient, 1.0 if taken else 0.5)
            at = stride.moved(at, momentum)
            after, gradient = slope(at)
        momentum = stride.kicked(momentum, gradient)
        first, last = kinetic(start, before.ndim) - before, kinetic(momentum, before.ndim) - after
        chance, accept = accepted(first - last)
        metrics = {
            "acceptance": chance,
            "energy": torch.where(accept, last, first),
            "diverging": diverging(last - first),
            "leapfrogs": before.new_tensor(leapfrogs),
            "step_size": memory["size"],
        }
        if self.lasting:
            memory = memory | {"value": chosen(accept, after, before), "gradient": chosen(accept, gradient, begun)}
        return chosen(accept, at, position), memory, metrics


def kinetic(momentum: Tensor, lead: int) -> Tensor:
    """Kinetic energy of whitened momenta, one per chain."""
    flat = momentum.flatten(lead) if momentum.ndim > lead else momentum.unsqueeze(-1)
    return 0.5 * torch.linalg.vector_norm(flat, dim=-1).square()


def diverging(rise: Tensor) -> Tensor:
    """Where an energy rose by more than `DIVERGED`, or left the numbers."""
    return ~(rise < DIVERGED)
