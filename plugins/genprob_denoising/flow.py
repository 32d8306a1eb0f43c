"""The probability flow: the differential equation whose solutions carry noise to data, and its log-density."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from genprob.errors import Diverged

ScoreOf = Callable[[Tensor, Tensor], Tensor]
EXACT_WIDTH = 64
"""Up to so many dimensions the divergence is summed; beyond them it is estimated by random directions."""
_PROBES = 8
_TOLERANCE = 3e-5
_ROWS = 4096


def transported(score: ScoreOf, points: Tensor, start: float, end: float) -> Tensor:
    """Points `[n, D]` of the law with noise `start` carried along dx = -s score(x, s) ds to the noise `end`."""

    def velocity(x: Tensor, level: Tensor) -> Tensor:
        return -(level**2)[:, None] * score(x, level)

    parts = [_solved(velocity, part, math.log(start), math.log(end)) for part in points.split(_ROWS)]
    return torch.cat(parts)


def log_density(score: ScoreOf, points: Tensor, least: float, most: float) -> tuple[Tensor, Tensor]:
    """log-density of points `[n, D]` under the flow from N(0, 1 + most^2) to the noise `least`, and its error, `[n]`.

    The change of volume along the way is the integral of the divergence (Chen et al. 2018, Neural ordinary
    differential equations; Song et al. 2021, Score-based generative modeling through stochastic differential
    equations): summed up to `EXACT_WIDTH` dimensions, beyond them estimated along `_PROBES` random directions
    (Hutchinson 1990).
    """
    width = points.shape[1]
    exact = width <= EXACT_WIDTH
    found = [_one(score, part, least, most, exact) for part in points.split(max(1, _ROWS * 4 // width))]
    volume = torch.cat([f[1] for f in found])
    end, spread = torch.cat([f[0] for f in found]), 1 + most**2
    base = -0.5 * end.square().sum(1) / spread - 0.5 * width * math.log(2 * math.pi * spread)
    value = base + volume.mean(1)
    error = torch.zeros_like(value) if exact else volume.std(1) / math.sqrt(volume.shape[1])
    return value, error


def _one(score: ScoreOf, points: Tensor, least: float, most: float, exact: bool) -> tuple[Tensor, Tensor]:
    n, width = points.shape
    if exact:
        ways = torch.eye(width, dtype=points.dtype, device=points.device)[:, None].expand(width, n, width)
    else:
        ways = 2.0 * torch.randint(2, (_PROBES, n, width), device=points.device).to(points.dtype) - 1

    def velocity(state: Tensor, level: Tensor) -> Tensor:
        x = state[:, :width].contiguous()

        def flow(x: Tensor) -> Tensor:
            return -(level.to(x.dtype) ** 2)[:, None] * score(x, level)

        def along(way: Tensor) -> tuple[Tensor, Tensor]:
            value, change = torch.func.jvp(flow, (x,), (way,))  # pyright: ignore[reportAssignmentType]
            return value, (change * way).sum(-1)

        values, changes = torch.func.vmap(along)(ways)
        trace = changes.sum(0)[:, None] if exact else changes.T
        return torch.cat([values[0], trace], 1)

    trail = torch.zeros(n, 1 if exact else _PROBES, dtype=points.dtype, device=points.device)
    end = _solved(velocity, torch.cat([points, trail], 1), math.log(least), math.log(most))
    return end[:, :width], end[:, width:]


def _solved(velocity: Callable[[Tensor, Tensor], Tensor], state: Tensor, start: float, end: float) -> Tensor:
    """The solution of d state / d log(noise) = velocity, by the Runge-Kutta pair of Dormand and Prince (1980)."""
    from scipy.integrate import solve_ivp

    shape, dtype = state.shape, torch.get_default_dtype()

    def slope(time: float, flat: np.ndarray) -> np.ndarray:
        x = torch.as_tensor(flat, device=state.device).reshape(shape)
        level = torch.full((shape[0],), math.exp(time), dtype=dtype, device=state.device)
        return velocity(x.to(dtype), level).double().cpu().numpy().reshape(-1)

    flat = state.detach().double().cpu().numpy().reshape(-1)
    found = solve_ivp(slope, (start, end), flat, method="RK45", rtol=_TOLERANCE, atol=_TOLERANCE)
    if not found.success or not np.isfinite(found.y[:, -1]).all():
        raise Diverged(f"the flow could not be followed ({found.message}); fit for more steps, or with a larger least")
    return torch.as_tensor(found.y[:, -1], device=state.device).reshape(shape)
