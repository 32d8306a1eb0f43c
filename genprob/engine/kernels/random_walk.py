"""Random-walk Metropolis, for densities without a gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genprob.engine.kernels.density import LogDensity, checked, widened
from genprob.engine.kernels.metropolis import accepted, chosen
from genprob.engine.move import Metrics
from genprob.engine.state import Memory


@dataclass(frozen=True)
class RandomWalk:
    """Gaussian proposals (Metropolis et al. 1953), their size adapted by stochastic approximation, then frozen.

    The chains of a query share the size. Metrics: `acceptance` per chain, `step_size` per query.

    Arguments:
        log_density: `[chains, *event] -> [chains]`, or with leading queries, in nats up to a constant.
        warmup: steps after which `adapt` changes nothing more.
        target: wanted mean probability of acceptance.
        size: first standard deviation of a proposal.
    """

    log_density: LogDensity
    warmup: int = 0
    target: float = 0.3
    size: float = 0.5

    adjusted: ClassVar[bool] = True

    def init(self, position: Tensor) -> Memory:
        lead = checked(self.log_density(position), position).ndim
        return {"size": position.new_full(position.shape[: lead - 1], self.size), "adapted": 0}

    def step(self, position: Tensor, memory: Memory) -> tuple[Tensor, Memory, Metrics]:
        proposal = position + widened(memory["size"], position.ndim) * torch.randn_like(position)
        chance, accept = accepted(self.log_density(proposal) - self.log_density(position))
        return chosen(accept, proposal, position), memory, {"acceptance": chance, "step_size": memory["size"]}

    def adapt(self, position: Tensor, memory: Memory, metrics: Metrics) -> Memory:
        done = memory["adapted"]
        if done >= self.warmup:
            return memory
        factor = ((metrics["acceptance"].mean(-1) - self.target) / math.sqrt(done + 1) * 2).exp()
        return {"size": memory["size"] * factor, "adapted": done + 1}
