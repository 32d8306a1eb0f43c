"""Hamiltonian Monte Carlo: step size by dual averaging, a diagonal mass from the chains' own spread."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from genprob.engine.move import Metrics
from genprob.engine.state import Memory

# Shares of the warm-up at which the mass is set anew from what was seen since the one before.
_SEEN_FROM, _MASS_AT = 0.05, (0.15, 0.35, 0.85)


@dataclass(frozen=True)
class HMC:
    """Leapfrog trajectories, accepted or refused (Duane et al. 1987; Hoffman and Gelman 2014 for the adaptation).

    All chains share the length of a trajectory, drawn anew for each, the step size and the mass. `adapt` is to be
    called after each of the first `warmup` steps; then both are frozen, and the chain leaves its law invariant.

    Arguments:
        log_density: `[chains, *event] -> [chains]`, up to a constant; gradients are taken through it.
        leapfrogs: longest trajectory in leapfrog steps.
        warmup: adapted steps.
        target: wanted mean probability of acceptance.
    """

    log_density: Callable[[Tensor], Tensor]
    leapfrogs: int = 16
    warmup: int = 0
    target: float = 0.8

    def init(self, position: Tensor) -> Memory:
        size = torch.tensor(0.1, dtype=position.dtype, device=position.device)
        return (
            {"size": size, "scale": torch.ones_like(position[0]), "adapted": 0} | _averaging(size) | _nothing(position)
        )

    def step(self, position: Tensor, memory: Memory) -> tuple[Tensor, Memory, Metrics]:
        size, scale = memory["size"], memory["scale"]
        at, (before, gradient) = position, self._slope(position)
        momentum = start = torch.randn_like(position)
        for _ in range(1 + int(torch.randint(self.leapfrogs, ()))):
            momentum = momentum + 0.5 * size * scale * gradient
            at = at + size * scale * momentum
            after, gradient = self._slope(at)
            momentum = momentum + 0.5 * size * scale * gradient
        gain = after - before + 0.5 * (_squares(start) - _squares(momentum))
        # A trajectory that left the numbers is refused, like any other step into nowhere.
        chance = torch.nan_to_num(gain, nan=-math.inf).clamp(max=0.0).exp()
        accepted = torch.rand_like(chance) < chance
        new = torch.where(accepted.reshape(-1, *[1] * (position.ndim - 1)), at, position)
        return new, memory, {"acceptance": chance.mean(), "step_size": size}

    def adapt(self, position: Tensor, memory: Memory, metrics: Metrics) -> Memory:
        done = memory["adapted"]
        if done >= self.warmup:
            return memory
        memory = memory | {"adapted": done + 1} | self._average(memory, metrics["acceptance"])
        if done >= _SEEN_FROM * self.warmup:
            memory |= _seen(position, memory)
        if done + 1 in {math.ceil(share * self.warmup) for share in _MASS_AT} and memory["count"] > 1:
            count = memory["count"]
            variance = memory["squares"] / (count - 1)
            # Drawn towards small values while little was seen, as in Stan.
            variance = (count * variance + 5e-3) / (count + 5)
            memory |= {"scale": variance.sqrt()} | _averaging(memory["size"]) | _nothing(position)
        if done + 1 == self.warmup:
            memory |= {"size": memory["log_average"].exp()}
        return memory

    def _average(self, memory: Memory, acceptance: Tensor) -> Memory:
        """One step of dual averaging (Hoffman and Gelman 2014, algorithm 5)."""
        n = memory["averaged"] + 1
        error = memory["error"] + (self.target - acceptance - memory["error"]) / (n + 10)
        log_size = memory["anchor"] - math.sqrt(n) / 0.05 * error
        weight = n**-0.75
        log_average = weight * log_size + (1 - weight) * memory["log_average"]
        return {"averaged": n, "error": error, "size": log_size.exp(), "log_average": log_average}

    def _slope(self, position: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            at = position.detach().requires_grad_()
            value = self.log_density(at)
            (gradient,) = torch.autograd.grad(value.sum(), at)
        return value.detach(), gradient


def _averaging(size: Tensor) -> Memory:
    """Dual averaging begun anew, drawn towards ten times the present size."""
    return {"averaged": 0, "error": torch.zeros_like(size), "anchor": (10 * size).log(), "log_average": size.log()}


def _nothing(position: Tensor) -> Memory:
    return {"count": 0, "mean": torch.zeros_like(position[0]), "squares": torch.zeros_like(position[0])}


def _seen(position: Tensor, memory: Memory) -> Memory:
    """Welford's moments with all chains added (Chan et al. 1979)."""
    count, chains = memory["count"], len(position)
    mean, off = position.mean(0), position.mean(0) - memory["mean"]
    squares = (position - mean).square().sum(0) + off.square() * count * chains / (count + chains)
    return {
        "count": count + chains,
        "mean": memory["mean"] + off * chains / (count + chains),
        "squares": memory["squares"] + squares,
    }


def _squares(momentum: Tensor) -> Tensor:
    return momentum.square().flatten(1).sum(1)
