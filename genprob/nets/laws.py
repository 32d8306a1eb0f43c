"""Laws of one real in encoded coordinates: density, intervals, draws; all broadcast, all in float64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from genprob.nets.normal import draw_between, log_between

_LOG_ROOT_TWO_PI = 0.9189385332046727
_SERIES = 1e-2
"""Below it the logarithm of sinh(h) / h is summed."""


class Law(Protocol):
    """A law on the line."""

    def log_prob(self, u: Tensor) -> Tensor:
        """Its log-density."""
        ...

    def log_between(self, lo: Tensor, hi: Tensor) -> Tensor:
        """log P(lo <= u <= hi); -inf where hi <= lo."""
        ...

    def draw(self, shape: tuple[int, ...] = ()) -> Tensor:
        """Draws, `[*shape, *the law's own]`."""
        ...

    def draw_between(self, lo: Tensor, hi: Tensor) -> Tensor:
        """One draw given lo <= u <= hi."""
        ...

    def reach(self) -> tuple[Tensor, Tensor]:
        """Ends between which all but a negligible part of it lies."""
        ...

    def of(self, index: int) -> Law:
        """The laws at one position of the first axis."""
        ...


@dataclass(frozen=True)
class Normal:
    """N(loc, scale^2)."""

    loc: Tensor
    scale: Tensor

    def log_prob(self, u: Tensor) -> Tensor:
        return -0.5 * ((u - self.loc) / self.scale) ** 2 - torch.log(self.scale) - _LOG_ROOT_TWO_PI

    def log_between(self, lo: Tensor, hi: Tensor) -> Tensor:
        return log_between((lo - self.loc) / self.scale, (hi - self.loc) / self.scale)

    def draw(self, shape: tuple[int, ...] = ()) -> Tensor:
        shape = (*shape, *torch.broadcast_shapes(self.loc.shape, self.scale.shape))
        return self.loc + self.scale * torch.randn(shape, dtype=torch.float64, device=self.loc.device)

    def draw_between(self, lo: Tensor, hi: Tensor) -> Tensor:
        return self.loc + self.scale * draw_between((lo - self.loc) / self.scale, (hi - self.loc) / self.scale)

    def reach(self) -> tuple[Tensor, Tensor]:
        return self.loc - 8 * self.scale, self.loc + 8 * self.scale

    def of(self, index: int) -> Normal:
        return Normal(self.loc[index], self.scale if self.scale.ndim < self.loc.ndim else self.scale[index])


@dataclass(frozen=True)
class LogisticMixture:
    """A mixture of logistic laws, parameters `[..., K]`; on cells that of Salimans et al. 2017 (PixelCNN++)."""

    logits: Tensor
    loc: Tensor
    scale: Tensor

    def log_prob(self, u: Tensor) -> Tensor:
        z = (u[..., None] - self.loc) / self.scale
        part = -z - 2 * softplus(-z) - torch.log(self.scale)
        return torch.logsumexp(torch.log_softmax(self.logits, -1) + part, -1)

    def log_between(self, lo: Tensor, hi: Tensor) -> Tensor:
        return torch.logsumexp(self._parts(lo, hi), -1)

    def _parts(self, lo: Tensor, hi: Tensor) -> Tensor:
        a, b = (lo[..., None] - self.loc) / self.scale, (hi[..., None] - self.loc) / self.scale
        empty = hi[..., None] <= lo[..., None]
        gap = torch.where(empty, 1.0, b - a)
        inside = logsigmoid(b) + logsigmoid(-a) + torch.log(-torch.expm1(-gap))
        return torch.where(empty, -torch.inf, torch.log_softmax(self.logits, -1) + inside)

    def draw(self, shape: tuple[int, ...] = ()) -> Tensor:
        chosen = _choose(self.logits.expand(*shape, *self.logits.shape))
        u = torch.rand(chosen.shape, dtype=torch.float64, device=chosen.device).clamp(1e-300, 1 - 1e-16)
        return self._of(self.loc, chosen) + self._of(self.scale, chosen) * (torch.log(u) - torch.log1p(-u))

    def draw_between(self, lo: Tensor, hi: Tensor) -> Tensor:
        parts = self._parts(lo, hi)
        chosen = _choose(torch.where(torch.isfinite(parts).any(-1, keepdim=True), parts, 0.0))
        loc, scale = self._of(self.loc, chosen), self._of(self.scale, chosen)
        a, b = (lo - loc) / scale, (hi - loc) / scale
        flip = a + b > 0
        low, high = torch.where(flip, -b, a), torch.where(flip, -a, b)
        u = torch.rand(chosen.shape, dtype=torch.float64, device=chosen.device).clamp(1e-300, 1 - 1e-16)
        log_p = torch.logaddexp(logsigmoid(low) + torch.log1p(-u), logsigmoid(high) + torch.log(u))
        z = torch.minimum(torch.maximum(log_p - torch.log(-torch.expm1(log_p.clamp(max=-1e-16))), low), high)
        return loc + scale * torch.where(flip, -z, z)

    def reach(self) -> tuple[Tensor, Tensor]:
        return (self.loc - 20 * self.scale).amin(-1), (self.loc + 20 * self.scale).amax(-1)

    def of(self, index: int) -> LogisticMixture:
        return LogisticMixture(self.logits[index], self.loc[index], self.scale[index])

    @staticmethod
    def _of(parameter: Tensor, chosen: Tensor) -> Tensor:
        wide = parameter.expand(*chosen.shape, parameter.shape[-1])
        return wide.gather(-1, chosen[..., None])[..., 0]


@dataclass(frozen=True)
class ContinuousBernoulli:
    """The law with density proportional to exp(tilt * s) of a share s in [0, 1] (Loaiza-Ganem and Cunningham 2019).

    In encoded coordinates, where s = sigmoid(shift + stretch * u).
    """

    tilt: Tensor
    shift: Tensor
    stretch: Tensor

    def log_prob(self, u: Tensor) -> Tensor:
        logit = self.shift + self.stretch * u
        slope = logsigmoid(logit) + logsigmoid(-logit) + torch.log(self.stretch)
        return self.tilt * torch.sigmoid(logit) - _log_mean_exp(self.tilt) + slope

    def log_between(self, lo: Tensor, hi: Tensor) -> Tensor:
        a, b = self._share(lo), self._share(hi)
        empty = b <= a
        width = torch.where(empty, 1.0, b - a)
        inside = self.tilt * a + _log_mean_exp(self.tilt * width) + torch.log(width) - _log_mean_exp(self.tilt)
        return torch.where(empty, -torch.inf, inside)

    def draw(self, shape: tuple[int, ...] = ()) -> Tensor:
        tilt = torch.broadcast_tensors(self.tilt, self.shift)[0]
        return self._back(_tilted(tilt.expand(*shape, *tilt.shape)))

    def draw_between(self, lo: Tensor, hi: Tensor) -> Tensor:
        a, b = self._share(lo), self._share(hi)
        return self._back(a + (b - a) * _tilted(self.tilt * (b - a)))

    def reach(self) -> tuple[Tensor, Tensor]:
        end = torch.full_like(self.tilt, 25.0)
        return (-end - self.shift) / self.stretch, (end - self.shift) / self.stretch

    def of(self, index: int) -> ContinuousBernoulli:
        return ContinuousBernoulli(self.tilt[index], self.shift, self.stretch)

    def _share(self, u: Tensor) -> Tensor:
        return torch.sigmoid(self.shift + self.stretch * u)

    def _back(self, share: Tensor) -> Tensor:
        inside = share.clamp(1e-15, 1 - 1e-15)
        return (torch.log(inside) - torch.log1p(-inside) - self.shift) / self.stretch


def _log_mean_exp(tilt: Tensor) -> Tensor:
    """log of the mean of exp(tilt * s) over s in [0, 1]: log((e^tilt - 1) / tilt), 0 at 0."""
    half = tilt.abs() / 2
    small = half < _SERIES
    safe = torch.where(small, 1.0, half)
    far = safe + torch.log1p(-torch.exp(-2 * safe)) - torch.log(2 * safe)
    return tilt / 2 + torch.where(small, half**2 / 6 - half**4 / 180, far)


def _tilted(tilt: Tensor) -> Tensor:
    """Draws of s in [0, 1] with density proportional to exp(tilt * s)."""
    size = tilt.abs()
    u = torch.rand(tilt.shape, dtype=torch.float64, device=tilt.device)
    safe = torch.where(size < 1e-6, 1.0, size)
    below = -torch.log(u + (1 - u) * torch.exp(-safe)) / safe  # one minus a draw at the size of the tilt
    share = torch.where(size < 1e-6, u, 1 - below)
    return torch.where(tilt < 0, 1 - share, share).clamp(0, 1)


def _choose(logits: Tensor) -> Tensor:
    cumulative = torch.softmax(logits.double(), -1).cumsum(-1)[..., :-1]
    return (torch.rand(*logits.shape[:-1], 1, dtype=torch.float64, device=logits.device) > cumulative).sum(-1)
