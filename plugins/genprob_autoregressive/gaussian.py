"""The base: one Gaussian over the numeric columns, with its exact conditionals for every mask."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

RIDGE = 1e-4
LEAST_VARIANCE = 1e-5
CLIP = 6.0
_ITERATIONS, _TOLERANCE = 50, 1e-4
_FLOATS = 4_000_000
"""Numbers that the matrices of one piece of work may take."""
_FEW = 32
"""Rows a pattern, and columns, up to which matrices are copied for each row instead of taken in turn."""


@dataclass(frozen=True)
class Moments:
    """What the Gaussian says of every column given the known ones.

    Attributes:
        mean: `[rows, d]` conditional means; at known columns the values themselves.
        sd: `[rows, d]` conditional standard deviations.
        surprise: `[rows, d]` leave-one-out scores of the known columns, 0 at others: how many standard deviations a
            value lies off its mean given all other known ones.
        log_density: `[rows]` of the known columns.
    """

    mean: Tensor
    sd: Tensor
    surprise: Tensor
    log_density: Tensor

    def take(self, rows: Tensor) -> Moments:
        """Those of the rows at these positions."""
        return Moments(self.mean[rows], self.sd[rows], self.surprise[rows], self.log_density[rows])


class Gaussian(nn.Module):
    """N(mean, covariance) fitted by EM where cells are missing; float64."""

    mean: Tensor
    covariance: Tensor

    def __init__(self, d: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(d, dtype=torch.float64))
        self.register_buffer("covariance", torch.eye(d, dtype=torch.float64))

    def fit(self, y: Tensor, known: Tensor) -> None:
        """Maximum likelihood plus `RIDGE` on the diagonal (Dempster, Laird and Rubin 1977), in place."""
        n, d = y.shape
        if not d or not n:
            return
        y = torch.where(known, y, 0.0)
        identity = torch.eye(d, dtype=y.dtype, device=y.device)
        count = known.sum(0).clamp(min=1)
        mean = y.sum(0) / count
        spread = (torch.where(known, y - mean, 0.0).square().sum(0) / count).clamp(min=RIDGE)
        self.mean.copy_(mean)
        self.covariance.copy_(torch.diag(spread))
        for _ in range(_ITERATIONS):
            before = torch.cat([self.mean[None], self.covariance])
            filled, second = self._expected(y, known)
            self.mean.copy_(filled.mean(0))
            centred = filled - self.mean
            self.covariance.copy_((centred.T @ centred + second) / n + RIDGE * identity)
            change = float((torch.cat([self.mean[None], self.covariance]) - before).abs().max())
            if bool(known.all()) or change < _TOLERANCE:
                break

    def _expected(self, y: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Rows with holes filled by their conditional means, and the sum of the conditional covariances."""
        masks, which = torch.unique(known, dim=0, return_inverse=True)
        filled, second = torch.empty_like(y), torch.zeros_like(self.covariance)
        order, counts = which.argsort(), torch.bincount(which, minlength=len(masks))
        starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)]).tolist()
        step = max(1, _FLOATS // max(1, y.shape[1]) ** 2)
        for first in range(0, len(masks), step):
            gain = self.covariance @ self._precision(masks[first : first + step])[0]
            for p in range(len(gain)):
                rows = order[starts[first + p] : starts[first + p + 1]]
                filled[rows] = self.mean + (y[rows] - self.mean) * known[rows] @ gain[p].T
            residual = self.covariance - gain @ self.covariance
            second += (counts[first : first + step, None, None] * residual).sum(0)
        return filled, second

    def _precision(self, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Inverses `[P, d, d]` of the covariance of the known block, zero elsewhere; half their log-determinants."""
        m = masks.to(self.covariance.dtype)
        both = m[:, :, None] * m[:, None, :]
        root = torch.linalg.cholesky(self.covariance * both + torch.diag_embed(1 - m))
        return torch.cholesky_inverse(root) * both, -torch.log(root.diagonal(dim1=1, dim2=2)).sum(1)

    @torch.no_grad()
    def moments(self, y: Tensor, known: Tensor) -> Moments:
        """Conditionals of rows `y [rows, d]` given their columns where `known`."""
        n, d = y.shape
        if not d:
            return Moments(y, y, y, y.new_zeros(n))
        masks, which = _patterns(known)
        centred = torch.where(known, y - self.mean, 0.0)
        pull = torch.empty_like(y)
        variance, root, constant = y.new_empty(len(masks), d), y.new_empty(len(masks), d), y.new_empty(len(masks))
        order = which.argsort()
        starts = torch.cat([which.new_zeros(1), torch.bincount(which, minlength=len(masks)).cumsum(0)]).tolist()
        step = max(1, _FLOATS // d**2)
        for first in range(0, len(masks), step):
            part = masks[first : first + step]
            precision, constant[first : first + step] = self._precision(part)
            gain = self.covariance @ precision  # of which the conditional covariance needs the diagonal only
            variance[first : first + step] = self.covariance.diagonal() - (gain * self.covariance).sum(2)
            diagonal = precision.diagonal(dim1=1, dim2=2)
            root[first : first + step] = torch.where(part, diagonal, 1.0).clamp(min=1e-300).sqrt()
            rows = order[starts[first] : starts[min(first + step, len(masks))]]
            _multiply(centred, which - first, rows, precision, pull)
        mean = torch.where(known, y, pull @ self.covariance + self.mean)
        surprise = torch.where(known, pull / root[which], 0.0).clamp(-CLIP, CLIP)
        quadratic = (centred * pull).sum(1) + known.sum(1) * math.log(2 * math.pi)
        return Moments(mean, variance.clamp(min=LEAST_VARIANCE).sqrt()[which], surprise,
                       constant[which] - 0.5 * quadratic)  # fmt: skip

    @torch.no_grad()
    def log_density(self, y: Tensor, masks: Tensor) -> Tensor:
        """Of the columns where each of `masks [P, d]` of whole rows `y [n, d]`, `[P, n]`."""
        n, d = y.shape
        out = y.new_zeros(len(masks), n)
        centred = y - self.mean
        for at in torch.arange(len(masks), device=y.device).split(max(1, _FLOATS // max(1, d * max(d, n)))):
            precision, constant = self._precision(masks[at])
            quadratic = ((centred @ precision) * centred).sum(2)
            size = masks[at].sum(1, keepdim=True) * math.log(2 * math.pi)
            out[at] = constant[:, None] - 0.5 * (quadratic + size)
        return out

    @torch.no_grad()
    def completed(self, y: Tensor, known: Tensor, generator: torch.Generator) -> Tensor:
        """Rows `[n, d]` whose columns not `known` are drawn given the others.

        A draw of everything, moved by as much as what is known moves its mean (Hoffman and Ribak 1991).
        """
        root = torch.linalg.cholesky(
            self.covariance + RIDGE**2 * torch.eye(len(self.mean), dtype=y.dtype, device=y.device)
        )
        noise = torch.randn(y.shape, dtype=y.dtype, generator=generator).to(y.device)
        free = self.mean + noise @ root.T
        return torch.where(known, y, self.moments(y, known).mean + free - self.moments(free, known).mean)


def _multiply(x: Tensor, which: Tensor, rows: Tensor, matrices: Tensor, out: Tensor) -> None:
    """Each of `rows` by the symmetric matrix `[d, d]` of its pattern, in place; rows are sorted by pattern."""
    d = x.shape[1]
    if len(rows) > _FEW * len(matrices) or d > _FEW:
        counts = torch.bincount(which[rows], minlength=len(matrices)).tolist()
        for at, matrix in zip(rows.split(counts), matrices, strict=True):
            out[at] = x[at] @ matrix
        return
    for at in rows.split(max(1, _FLOATS // (d * d))):
        out[at] = torch.bmm(matrices[which[at]], x[at, :, None])[..., 0]


def _patterns(known: Tensor) -> tuple[Tensor, Tensor]:
    """The distinct rows of a mask and which of them each row is."""
    d = known.shape[1]
    if d > 62:
        return torch.unique(known, dim=0, return_inverse=True)
    bits = 2 ** torch.arange(d, device=known.device)
    codes, which = torch.unique((known * bits).sum(1), return_inverse=True)
    return (codes[:, None] & bits) > 0, which
