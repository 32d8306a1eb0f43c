"""Chains in the noisy space of a denoising autoencoder, held to evidence, and the volume that evidence leaves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from genprob.engine.kernels import HMC, Langevin
from genprob.engine.kernels.smc import Annealed, Cooling, anneal
from genprob.engine.transition import Kernel
from genprob.query.bridged import bridged
from genprob.query.regions import Regions

if TYPE_CHECKING:
    from genprob_denoising.autoencoder import DAE, EnergyDAE

_LEAPFROGS = 3
_STEP = 0.5
"""Langevin's step, in units of the noise."""
_WIDER = 1.3
"""Standard deviation where annealing begins, in those of the data."""


class Held:
    """Markov chains of Q queries on encoded points `[Q, chains, width]`; see `genprob.query.capabilities.HeldChains`.

    Given columns stand at their values; in the kernels each is a normal dummy that nothing depends on.

    Arguments:
        model: the denoising autoencoder.
        regions: the evidence.
        chains: of each query.
    """

    def __init__(self, model: DAE, regions: Regions, chains: int) -> None:
        self.model, self.regions, self.chains = model, regions, chains
        self.points, self.boxes, self.readings = (
            bool(asked.any()) for asked in (regions.point, regions.boxed, regions.noisy)
        )

    def start(self) -> Tensor:
        rows, shape = self.model.starts.double(), (len(self.regions.point), self.chains)
        chosen = torch.randint(len(rows), shape, device=rows.device)
        # The guide: rows that are near in what is given.
        off = _distances(self.regions.point, self.regions.value, rows)
        near = off.topk(min(len(rows), 32), 1, largest=False).indices
        guided = near.gather(1, torch.randint(near.shape[1], shape, device=rows.device))
        odd = torch.arange(self.chains, device=rows.device) % 2 == 1
        begun = rows[torch.where(odd, guided, chosen)]
        return self.regions.hold(begun + self.model.sigma * torch.randn_like(begun))

    def kernel(self, warmup: int) -> Kernel:
        return Langevin(_none, size=_STEP * self.model.sigma, value_and_gradient=self._drift)

    def rows(self, points: Tensor) -> np.ndarray:
        free = self._free(points)
        if self.model.finish:
            flat = free.reshape(-1, free.shape[-1])
            free = self.regions.hold((flat + self.model.sigma**2 * self.model.slope(flat)).reshape(free.shape))
        return self.regions.decode(free)

    def log_evidence(self, seen: Tensor) -> tuple[np.ndarray, np.ndarray]:
        blank = np.full(len(self.regions.point), np.nan)
        return blank, blank

    def _drift(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Nothing known of the density, and the estimated score with that of readings; intervals push back."""
        x = self.regions.hold(self._free(points))
        score = self.model.slope(x.reshape(-1, x.shape[-1])).reshape(x.shape)
        if self.readings:
            score = score + self._pull(x)
        step = (_STEP * self.model.sigma) ** 2 / 2
        score = score + (x - points) / step  # back to where the evidence allows
        return torch.zeros_like(points[..., 0]), torch.where(self.regions.point[:, None], -points, score)

    def _pull(self, points: Tensor) -> Tensor:
        """The gradient of the log-likelihood of the readings."""
        with torch.enable_grad():
            at = points.detach().requires_grad_()
            return torch.autograd.grad(self.regions.log_readings(at).sum(), at)[0]

    def _free(self, points: Tensor) -> Tensor:
        return torch.where(self.regions.point[:, None], self.regions.value[:, None], points) if self.points else points


class Adjusted(Held):
    """Chains that are accepted or refused by the energy."""

    model: EnergyDAE

    def kernel(self, warmup: int) -> Kernel:
        return HMC(
            self.log_density,
            leapfrogs=_LEAPFROGS,
            warmup=warmup,
            value_and_gradient=self.value_and_gradient,
            size=self.model.sigma,
            mass="dense",
            lasting=True,
        )

    def log_evidence(self, seen: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """The chains and a normal fitted to them are bridged: annealing each query anew takes three times as long."""
        value, error = bridged(lambda points: self.value_and_gradient(points)[0], seen)
        dummies = 0.5 * math.log(2 * math.pi) * self.regions.point.sum(1) - self.regions.log_jacobian
        return value - dummies.cpu().numpy() - self.model.log_partition()[0], error

    @torch.no_grad()
    def value_and_gradient(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """`log_density` and its gradient in the points."""
        x = self._free(points)
        value, gradient = self.model.value_and_score(x.reshape(-1, x.shape[-1]))
        value, gradient = -value.reshape(x.shape[:-1]), gradient.reshape(x.shape)
        if self.readings:
            value, gradient = value + self.regions.log_readings(x), gradient + self._pull(x)
        if self.points:
            point = self.regions.point[:, None]
            value = value - 0.5 * torch.where(point, points, 0.0).square().sum(-1)
            gradient = torch.where(point, -points, gradient)
        return (torch.where(self.regions.inside(x), value, -torch.inf) if self.boxes else value), gradient

    def log_density(self, points: Tensor) -> Tensor:
        """Of each chain, `[Q, chains]`, up to a constant."""
        x = self._free(points)
        value = -self.model.energy(x.reshape(-1, x.shape[-1])).double().reshape(x.shape[:-1])
        if self.readings:
            value = value + self.regions.log_readings(x)
        if self.points:
            value = value - 0.5 * torch.where(self.regions.point[:, None], points, 0.0).square().sum(-1)
        return torch.where(self.regions.inside(x), value, -torch.inf) if self.boxes else value


class Volume:
    """From a wide normal to exp(-energy) with given columns held: a path for `genprob.engine.kernels.smc.anneal`.

    Arguments:
        held: whose evidence it is.
    """

    def __init__(self, held: Adjusted) -> None:
        self.held = held

    def start(self, particles: int) -> Tensor:
        point = self.held.regions.point
        unit = torch.randn(len(point), particles, point.shape[1], dtype=torch.float64, device=point.device)
        return torch.where(point[:, None], unit, _WIDER * unit)

    def scores(self, points: Tensor) -> tuple[Tensor, Tensor]:
        point = self.held.regions.point[:, None]
        half = 0.5 * math.log(2 * math.pi)
        dummy = torch.where(point, -0.5 * points**2, 0.0).sum(-1)
        wide = torch.where(point, 0.0, -0.5 * (points / _WIDER) ** 2 - math.log(_WIDER) - half).sum(-1)
        return dummy - half * point.sum(-1) + wide, self.held.log_density(points) - dummy - wide

    def anneal(self, particles: int) -> Annealed:
        """Weighted points; `log_ratio` is the log of the integral of exp(-energy) over what is free."""
        width = self.held.regions.point.shape[1]
        return anneal(self, Cooling(self, tuple(range(width)), gradient=True), particles)


def _distances(point: Tensor, value: Tensor, rows: Tensor) -> Tensor:
    """Squared distances `[Q, rows]` over what is given."""
    known = point.to(rows.dtype)
    return (known * value**2).sum(1, keepdim=True) - 2 * (known * value) @ rows.T + known @ (rows**2).T


def _none(points: Tensor) -> Tensor:
    return torch.zeros_like(points[..., 0])
