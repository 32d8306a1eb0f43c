"""Random-walk Metropolis, for densities without a gradient."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from genprob.engine.move import Metrics
from genprob.engine.state import Memory


@dataclass(frozen=True)
class RandomWalk:
    """Gaussian proposals of one size (Metropolis et al. 1953), adapted by stochastic approximation, then frozen.

    Arguments:
        log_density: `[chains, *event] -> [chains]`, up to a constant.
        warmup: steps after which `adapt` changes nothing more.
        target: wanted mean probability of acceptance.
    """

    log_density: Callable[[Tensor], Tensor]
    warmup: int = 0
    target: float = 0.3

    def init(self, position: Tensor) -> Memory:
        return {"size": torch.tensor(0.5, dtype=position.dtype, device=position.device), "adapted": 0}

    def step(self, position: Tensor, memory: Memory) -> tuple[Tensor, Memory, Metrics]:
        proposal = position + memory["size"] * torch.randn_like(position)
        gain = self.log_density(proposal) - self.log_density(position)
        chance = torch.nan_to_num(gain, nan=-math.inf).clamp(max=0.0).exp()
        accepted = torch.rand_like(chance) < chance
        new = torch.where(accepted.reshape(-1, *[1] * (position.ndim - 1)), proposal, position)
        return new, memory, {"acceptance": chance.mean(), "step_size": memory["size"]}

    def adapt(self, position: Tensor, memory: Memory, metrics: Metrics) -> Memory:
        done = memory["adapted"]
        if done >= self.warmup:
            return memory
        factor = ((metrics["acceptance"] - self.target) / math.sqrt(done + 1) * 2).exp()
        return {"size": memory["size"] * factor, "adapted": done + 1}
