"""Replica exchange: copies at higher temperatures that trade places with the chains."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from genprob.engine.kernels.density import LogDensity, checked, widened
from genprob.engine.kernels.metropolis import accepted, chosen
from genprob.engine.move import Metrics
from genprob.engine.state import Memory
from genprob.engine.transition import Adaptive, Kernel


@dataclass(frozen=True)
class ReplicaExchange:
    """Runs any kernel at a ladder of temperatures, and swaps neighbours (Swendsen and Wang 1986; Geyer 1991).

    At inverse temperature b the density is exp(base + b (log_density - base)); the chains that move are those at
    b = 1, the hotter copies live in the memory. Even and odd pairs are swapped in turn (Okabe et al. 2001). Each
    temperature has a step size and a mass of its own. While the inner kernel adapts, so does the ladder, towards
    equal rates of swapping (Vousden, Farr and Mandel 2016); then both are frozen. Metrics: those of the inner kernel
    at b = 1, and `swapped`, the mean acceptance of the pairs tried, per chain.

    Arguments:
        log_density: `[chains, *event] -> [chains]`, or with leading queries, in nats up to a constant; it is asked
            for all temperatures at once, as so many more chains.
        kernel: builds the inner kernel of a log-density over `[temperatures, (queries,) chains, *event]`.
        inverse_temperatures: from 1 falling, at least two.
        base: log-density at b = 0, such as a prior; None for a flat one.
        warmup: steps that adapt the ladder, and the inner kernel if it can.
    """

    log_density: LogDensity
    kernel: Callable[[LogDensity], Kernel]
    inverse_temperatures: tuple[float, ...] = (1.0, 0.5, 0.25, 0.125)
    base: LogDensity | None = None
    warmup: int = 0

    adjusted: ClassVar[bool] = True

    def init(self, position: Tensor) -> Memory:
        lead = checked(self.log_density(position), position).ndim
        ladder = torch.tensor(self.inverse_temperatures, dtype=position.dtype, device=position.device)
        replicas = position.expand(len(ladder), *position.shape)
        inner = self._inner(ladder, lead).init(replicas)
        rates = torch.zeros_like(ladder[1:])
        return {
            "hotter": replicas[1:].clone(),
            "ladder": ladder,
            "lead": lead,
            "swaps": 0,
            "rates": rates,
            "adapted": 0,
            "inner": inner,
            "told": {},
        }

    def step(self, position: Tensor, memory: Memory) -> tuple[Tensor, Memory, Metrics]:
        kernel = self._inner(memory["ladder"], memory["lead"])
        replicas = torch.cat([position.unsqueeze(0), memory["hotter"]])
        replicas, inner, told = kernel.step(replicas, memory["inner"])
        replicas, rates, swapped = self._swapped(replicas, memory)
        memory = memory | {"hotter": replicas[1:], "inner": inner, "told": told, "rates": rates}
        coldest = {name: value[0] if value.ndim else value for name, value in told.items()}
        return replicas[0], memory | {"swaps": memory["swaps"] + 1}, coldest | {"swapped": swapped}

    def adapt(self, position: Tensor, memory: Memory, metrics: Metrics) -> Memory:
        done = memory["adapted"]
        if done >= self.warmup:
            return memory
        kernel = self._inner(memory["ladder"], memory["lead"])
        if isinstance(kernel, Adaptive):
            replicas = torch.cat([position.unsqueeze(0), memory["hotter"]])
            memory = memory | {"inner": kernel.adapt(replicas, memory["inner"], memory["told"])}
        # A gap that is crossed more often than others is widened; the ends stay.
        ladder, rates = memory["ladder"], memory["rates"]
        gaps = (ladder[:-1] - ladder[1:]) * ((rates - rates.mean()) / math.sqrt(done + 1)).exp()
        gaps = gaps / gaps.sum() * (ladder[0] - ladder[-1])
        ladder = torch.cat([ladder[:1], ladder[0] - gaps[:-1].cumsum(0), ladder[-1:]])
        return memory | {"ladder": ladder, "adapted": done + 1}

    def _inner(self, ladder: Tensor, lead: int) -> Kernel:
        def tempered(replicas: Tensor) -> Tensor:
            base, above = self._levels(replicas, lead)
            return base + widened(ladder, above.ndim) * above

        kernel = self.kernel(tempered)
        if is_dataclass(kernel) and hasattr(kernel, "warmup"):
            return replace(kernel, warmup=self.warmup)  # type: ignore[return-value]
        return kernel

    def _levels(self, replicas: Tensor, lead: int) -> tuple[Tensor, Tensor]:
        """The base and the log-density above it, of `[temperatures, (queries,) chains, *event]`."""
        # The temperatures lie beside the chains, so that a log-density sees no more dimensions than it knows.
        chains = replicas.movedim(0, lead - 1).flatten(lead - 1, lead)

        def of(log_density: LogDensity) -> Tensor:
            value = checked(log_density(chains), chains)
            return value.unflatten(lead - 1, (len(replicas), -1)).movedim(lead - 1, 0)

        value = of(self.log_density)
        base = torch.zeros_like(value) if self.base is None else of(self.base)
        return base, value - base

    def _swapped(self, replicas: Tensor, memory: Memory) -> tuple[Tensor, Tensor, Tensor]:
        """Neighbours exchanged where that is accepted; the last known rate of each pair; the mean of this time's."""
        ladder, lead = memory["ladder"], memory["lead"]
        _, above = self._levels(replicas, lead)
        cold = torch.arange(memory["swaps"] % 2 if len(ladder) > 2 else 0, len(ladder) - 1, 2, device=ladder.device)
        gain = widened(ladder[cold] - ladder[cold + 1], above.ndim) * (above[cold + 1] - above[cold])
        chance, accept = accepted(gain)
        new = replicas.clone()
        new[cold] = chosen(accept, replicas[cold + 1], replicas[cold])
        new[cold + 1] = chosen(accept, replicas[cold], replicas[cold + 1])
        rates = memory["rates"].clone()
        rates[cold] = chance.flatten(1).mean(1)
        return new, rates, chance.mean(0)
