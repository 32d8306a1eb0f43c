"""The Metropolis-adjusted Langevin algorithm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genprob.engine.kernels.density import LogDensity, ValueAndGradient, differentiated
from genprob.engine.kernels.hmc import kinetic
from genprob.engine.kernels.metropolis import accepted, chosen
from genprob.engine.kernels.stride import Stride
from genprob.engine.kernels.warmup import Mass, WarmedUp
from genprob.engine.move import Metrics
from genprob.engine.state import Memory


@dataclass(frozen=True)
class MALA(WarmedUp):
    """A Langevin proposal, accepted or refused (Roberts and Tweedie 1996), preconditioned by the learned scale.

    Metrics: `acceptance` per chain, `step_size` per query.

    Arguments:
        log_density: `[chains, *event] -> [chains]`, or with leading queries, in nats up to a constant.
        warmup: steps that adapt step size and scale; then both are frozen.
        target: wanted mean probability of acceptance.
        value_and_gradient: the log-density with its gradient, where an analytic one is faster than autograd.
        mass: the scale that is learned: `unit`, `diagonal` or `dense`.
        size: first step size, the standard deviation of the noise.
    """

    log_density: LogDensity
    warmup: int = 0
    target: float = 0.574
    value_and_gradient: ValueAndGradient | None = None
    mass: Mass = "diagonal"
    size: float = 0.1

    adjusted: ClassVar[bool] = True

    def step(self, position: Tensor, memory: Memory) -> tuple[Tensor, Memory, Metrics]:
        slope = differentiated(self.log_density, self.value_and_gradient)
        before, gradient = slope(position)
        stride = Stride.of(memory, position, before.ndim, dense=self.mass == "dense")
        noise = torch.randn_like(position)
        proposal = stride.moved(position, stride.kicked(noise, gradient))
        after, back = slope(proposal)
        # The noise that would lead back; proposals are normal in it, so its square is the log ratio of both.
        returning = stride.kicked(stride.kicked(noise, gradient), back)
        gain = after - before + kinetic(noise, before.ndim) - kinetic(returning, before.ndim)
        chance, accept = accepted(gain)
        return chosen(accept, proposal, position), memory, {"acceptance": chance, "step_size": memory["size"]}
