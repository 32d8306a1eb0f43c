"""Hamiltonian Monte Carlo whose trajectory length is learned by all chains together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genprob.engine.kernels.density import LogDensity, ValueAndGradient, checked, differentiated, summed, widened
from genprob.engine.kernels.hmc import diverging, kinetic
from genprob.engine.kernels.metropolis import accepted, chosen
from genprob.engine.kernels.stride import Stride
from genprob.engine.kernels.warmup import Mass, Warmup
from genprob.engine.move import Metrics
from genprob.engine.state import Memory


@dataclass(frozen=True)
class ChEES:
    """HMC with a length that maximises the change in the estimator of the expected square (Hoffman et al. 2021).

    The chains of a query share step size, mass and the longest trajectory; each trajectory lasts a share of it that
    follows Halton's sequence, so that none is periodic. Best with some tens of chains or more. Metrics: those of HMC,
    and `trajectory`, the longest in units of time.

    Arguments:
        log_density: `[chains, *event] -> [chains]`, or with leading queries, in nats up to a constant.
        warmup: steps that adapt step size, mass and length; then all are frozen.
        target: wanted mean probability of acceptance.
        longest: limit of leapfrog steps.
        value_and_gradient: the log-density with its gradient, where an analytic one is faster than autograd.
        mass: the inverse mass that is learned: `unit`, `diagonal` or `dense`.
        size: first step size.
        trajectory: first trajectory length.
        rate: Adam's learning rate of its logarithm.
    """

    log_density: LogDensity
    warmup: int = 0
    target: float = 0.651
    longest: int = 256
    value_and_gradient: ValueAndGradient | None = None
    mass: Mass = "diagonal"
    size: float = 0.1
    trajectory: float = 1.0
    rate: float = 0.05

    adjusted: ClassVar[bool] = True

    @property
    def _warmup(self) -> Warmup:
        return Warmup(self.warmup, self.target, self.mass, self.size)

    def init(self, position: Tensor) -> Memory:
        memory = self._warmup.init(position, checked(self.log_density(position), position).ndim)
        length = torch.full_like(memory["size"], self.trajectory)
        zero = torch.zeros_like(length)
        return memory | {
            "trajectory": length,
            "drawn": 0,
            "ascent": zero,
            "ascent_square": zero,
            "log_trajectory": length.log(),
        }

    def step(self, position: Tensor, memory: Memory) -> tuple[Tensor, Memory, Metrics]:
        slope = differentiated(self.log_density, self.value_and_gradient)
        at, (before, gradient) = position, slope(position)
        lead = before.ndim
        whole = Stride.of(memory, position, lead, dense=self.mass == "dense")
        share = halton(memory["drawn"] + 1)
        leapfrogs = (share * memory["trajectory"] / memory["size"]).ceil().clamp(1, self.longest)
        start = torch.randn_like(position)
        after, momentum = before, start
        least, most = (int(leapfrogs.min()), int(leapfrogs.max())) if leapfrogs.ndim else (int(leapfrogs),) * 2
        stride = whole
        for taken in range(most):
            if taken >= least:
                # Queries whose trajectory is over stand still.
                stride = whole.signed((taken < leapfrogs).to(position.dtype).unsqueeze(-1).expand(before.shape))
            momentum = stride.kicked(momentum, gradient)
            at = stride.moved(at, momentum)
            after, gradient = slope(at)
            momentum = stride.kicked(momentum, gradient)
        first, last = kinetic(start, lead) - before, kinetic(momentum, lead) - after
        chance, accept = accepted(first - last)
        memory = memory | {"drawn": memory["drawn"] + 1}
        if memory["adapted"] < self.warmup:
            memory |= {"ascent": share * self._ascent(position, at, momentum, chance, memory)}
        metrics = {
            "acceptance": chance,
            "energy": torch.where(accept, last, first),
            "diverging": diverging(last - first),
            "leapfrogs": leapfrogs,
            "step_size": memory["size"],
            "trajectory": memory["trajectory"],
        }
        return chosen(accept, at, position), memory, metrics

    def _ascent(self, start: Tensor, end: Tensor, momentum: Tensor, chance: Tensor, memory: Memory) -> Tensor:
        """The gradient of the criterion in the length of the trajectory, `[*queries]`, in whitened coordinates."""
        lead = chance.ndim
        end = chosen(chance > 0, end, start)
        weight = chance / chance.sum(-1, keepdim=True).clamp(min=1e-30)
        before = self._whitened(start - start.mean(lead - 1, keepdim=True), memory, lead)
        mean = (widened(weight, end.ndim) * end).sum(lead - 1, keepdim=True)
        after = self._whitened(end - mean, memory, lead)
        gain = summed(after.square(), lead) - summed(before.square(), lead)
        velocity = torch.nan_to_num(
            summed(after * momentum.reshape(after.shape), lead), nan=0.0, posinf=0.0, neginf=0.0
        )
        return (weight * gain * velocity).sum(-1)

    def _whitened(self, off: Tensor, memory: Memory, lead: int) -> Tensor:
        scale = memory["scale"]
        if self.mass != "dense":
            return off / scale.unsqueeze(lead - 1)
        return torch.linalg.solve_triangular(scale, off.flatten(lead).mT, upper=False).mT.reshape(off.shape)

    def _widest(self, memory: Memory) -> Tensor:
        scale, queries = memory["scale"], memory["size"].ndim
        widths = scale.norm(dim=-1) if self.mass == "dense" else scale
        return widths.flatten(queries).amax(-1) if widths.ndim > queries else widths

    def adapt(self, position: Tensor, memory: Memory, metrics: Metrics) -> Memory:
        done = memory["adapted"]
        if done >= self.warmup:
            return memory
        ascent = memory["trajectory"] * memory["ascent"]
        square = 0.95 * memory["ascent_square"] + 0.05 * ascent.square()
        change = ascent / ((square / (1 - 0.95 ** (done + 1))).sqrt() + 1e-30)
        log_length = memory["trajectory"].log() + self.rate * change
        before, memory = memory, self._warmup.step(position, memory, metrics["acceptance"])
        if memory["scale"] is not before["scale"]:
            # The same length in the units of the new mass: the criterion minds the widest direction most.
            log_length = log_length + (self._widest(before) / self._widest(memory)).log()
        # No longer than what is ever walked; the step sizes that are tried swing too far to be a limit themselves.
        length = torch.minimum(log_length.exp(), self.longest * memory["log_average"].exp())
        weight = (done + 1) ** -0.5
        mean = weight * length.log() + (1 - weight) * memory["log_trajectory"]
        last = done + 1 == self.warmup
        return memory | {
            "ascent_square": square,
            "log_trajectory": mean,
            "trajectory": mean.exp() if last else length,
        }


def halton(index: int) -> float:
    """Element `index` >= 1 of Halton's sequence in base 2: 1/2, 1/4, 3/4, 1/8, ...

    >>> [halton(i) for i in range(1, 6)]
    [0.5, 0.25, 0.75, 0.125, 0.625]
    """
    share, unit = 0.0, 0.5
    while index:
        index, bit = divmod(index, 2)
        share += unit * bit
        unit /= 2
    return share
