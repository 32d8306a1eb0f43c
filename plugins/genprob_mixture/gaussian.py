"""Gaussian blocks: marginals and conditionals of K Gaussians under many masks at once, by the sweep operator."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from genprob_mixture.patterns import Patterns

LOG_2PI = math.log(2 * math.pi)
_CHUNK_BYTES = 2 * 2**20
WIDE = 32
"""Above this many columns quadratic features cost more memory than whitening row by row, and sweeping column by column
more time than a factorisation a pattern."""


@dataclass(frozen=True)
class Swept:
    """K Gaussians split by each of P masks into a known part O and an unknown part M.

    Attributes:
        matrix: `[d, d, P, K]`, the swept covariances: `-inv(S_OO)` on O x O, regression coefficients
            `S_MO inv(S_OO)` on M x O (and transposed), `S_MM - S_MO inv(S_OO) S_OM` on M x M.
        logdet: `[P, K]` log determinant of `S_OO`.
        masks: `[P, d]` bool, True on O.
    """

    matrix: Tensor
    logdet: Tensor
    masks: Tensor

    def precision(self) -> Tensor:
        """`inv(S_OO)` padded with zeros, `[P, K, d, d]`."""
        known = self.masks.to(self.matrix.dtype)
        return -(self.matrix * (known.T[:, None] * known.T[None])[..., None]).permute(2, 3, 0, 1)

    def coefficient(self) -> Tensor:
        """`S_MO inv(S_OO)` padded with zeros, `[P, K, d, d]` (rows M, columns O)."""
        known = self.masks.to(self.matrix.dtype).T
        return (self.matrix * ((1 - known)[:, None] * known[None])[..., None]).permute(2, 3, 0, 1)

    def conditional(self) -> Tensor:
        """Conditional covariance of M given O padded with zeros, `[P, K, d, d]`."""
        unknown = 1 - self.masks.to(self.matrix.dtype).T
        return (self.matrix * (unknown[:, None] * unknown[None])[..., None]).permute(2, 3, 0, 1)


def sweep(covariance: Tensor, masks: Tensor) -> Swept:
    """Sweeps `[K, d, d]` covariances on each of `[P, d]` masks (Dempster 1969; Little and Rubin 2002, section 7.4).

    One pass of d rank-one updates over all patterns and components at once: for matrices this small a batched
    factorisation spends most of its time in call overhead.
    """
    components, d, _ = covariance.shape
    if d > WIDE:
        return _sweep_wide(covariance, masks)
    spread = covariance.permute(1, 2, 0)[:, :, None].expand(d, d, len(masks), components)
    matrix = spread.clone(memory_format=torch.contiguous_format)
    logdet = covariance.new_zeros(len(masks), components)
    one = covariance.new_ones(())
    for j in range(d):
        on = masks[:, j, None]
        if not bool(on.any()):
            continue
        pivot = torch.where(on, matrix[j, j], one)
        logdet += torch.log(pivot)
        column = matrix[:, j].clone()
        scaled = column * (on / pivot)
        for i in range(d):  # row by row: the temporary stays in cache
            matrix[i].addcmul_(scaled[i], column, value=-1)
        swept = torch.where(on, scaled, column)
        swept[j] = torch.where(on, -1 / pivot, column[j])
        matrix[j], matrix[:, j] = swept, swept
    return Swept(matrix, logdet, masks)


def _sweep_wide(covariance: Tensor, masks: Tensor) -> Swept:
    """The same by blocks, one pattern after the other."""
    components, d, _ = covariance.shape
    matrix = covariance.new_empty(d, d, len(masks), components)
    logdet = covariance.new_empty(len(masks), components)
    for p, mask in enumerate(masks):
        known, unknown = torch.nonzero(mask)[:, 0], torch.nonzero(~mask)[:, 0]
        factor = torch.linalg.cholesky(covariance[:, known[:, None], known])
        across = covariance[:, known[:, None], unknown]
        slope = torch.cholesky_solve(across, factor)
        swept = torch.empty_like(covariance)
        swept[:, known[:, None], known] = -torch.cholesky_inverse(factor)
        swept[:, known[:, None], unknown] = slope
        swept[:, unknown[:, None], known] = slope.mT
        swept[:, unknown[:, None], unknown] = covariance[:, unknown[:, None], unknown] - across.mT @ slope
        matrix[:, :, p] = swept.permute(1, 2, 0)
        logdet[p] = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return Swept(matrix, logdet, masks)


def chunks(patterns: int, components: int, d: int) -> Iterator[slice]:
    """Ranges of patterns whose swept matrices stay in the cache of a processor."""
    size = max(1, _CHUNK_BYTES // (8 * max(1, components * d * d)))
    for start in range(0, patterns, size):
        yield slice(start, min(patterns, start + size))


def features(values: Tensor) -> Tensor:
    """`[rows, d]` -> `[rows, d(d+1)/2 + d + 1]`: all products of two columns (upper triangle), the columns, 1."""
    rows, d = values.shape
    i, j = torch.triu_indices(d, d, device=values.device)
    out = values.new_empty(rows, len(i) + d + 1)
    torch.mul(values[:, i], values[:, j], out=out[:, : len(i)])
    out[:, len(i) : -1] = values
    out[:, -1] = 1
    return out


def weights(mean: Tensor, swept: Swept) -> Tensor:
    """`[f, P, K]`: coefficients that turn `features` of a row (zeros at M) into log N(y_O; mu_O, S_OO)."""
    d = mean.shape[-1]
    patterns, components = swept.logdet.shape
    known = swept.masks.to(mean.dtype).T[..., None]
    i, j = torch.triu_indices(d, d, device=mean.device)
    out = mean.new_zeros(len(i) + d + 1, patterns, components)
    linear, constant = out[len(i) : -1], out[-1]
    centre = mean.T[:, None] * known
    for a in range(d):  # -inv(S_OO) mu_O, row by row: the temporary stays in cache
        linear[a] = -(swept.matrix[a] * centre).sum(0) * known[a]
    constant -= 0.5 * (known.sum(0) * LOG_2PI + swept.logdet + (linear * centre).sum(0))
    torch.mul(swept.matrix[i, j], (known[i] * known[j]), out=out[: len(i)])
    out[: len(i)] *= torch.where(i == j, 0.5, 1.0).to(mean.dtype)[:, None, None]
    return out


def apply(phi: Tensor, theta: Tensor, bounds: list[int]) -> Tensor:
    """Products of feature rows with the coefficients of their pattern, `[rows, K]`; rows sorted by pattern."""
    out = phi.new_empty(len(phi), theta.shape[-1])
    for p, (a, b) in enumerate(pairwise(bounds)):
        torch.mm(phi[a:b], theta[:, p], out=out[a:b])
    return out


def log_density(values: Tensor, patterns: Patterns, mean: Tensor, covariance: Tensor) -> Tensor:
    """log N(y_O; mu_k, S_k) of every row and component, `[rows, K]`; values at unknown columns must be 0."""
    rows, d = values.shape
    if d == 0:
        return values.new_zeros(rows, len(mean))
    parts = []
    for part in chunks(len(patterns), len(mean), d):
        first, last = patterns.starts[part.start], patterns.starts[part.stop]
        bounds = [s - first for s in patterns.starts[part.start : part.stop + 1]]
        y = values[patterns.order[first:last]]
        if d > WIDE:
            parts.append(log_density_wide(y, bounds, mean, covariance, patterns.masks[part]))
        else:
            theta = weights(mean, sweep(covariance, patterns.masks[part]))
            parts.append(apply(features(y), theta, bounds))
    out = torch.empty_like(torch.cat(parts))
    out[patterns.order] = torch.cat(parts)
    return out


def log_density_autograd(values: Tensor, patterns: Patterns, mean: Tensor, covariance: Tensor) -> Tensor:
    """The same as `log_density`, differentiable in mean and covariance: batched Cholesky factors of masked matrices."""
    known = patterns.masks.to(values.dtype)
    masked = covariance * (known[:, :, None] * known[:, None, :])[:, None]
    factor = torch.linalg.cholesky(masked + torch.diag_embed(1 - known)[:, None])
    logdet = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    parts = []
    for p, (a, b) in enumerate(pairwise(patterns.starts)):
        difference = (values[patterns.order[a:b], None] - mean) * known[p]
        white = torch.linalg.solve_triangular(factor[p], difference.permute(1, 2, 0), upper=False)
        parts.append(-0.5 * (white.square().sum(1) + logdet[p, :, None] + known[p].sum() * LOG_2PI).T)
    return torch.cat(parts)[torch.argsort(patterns.order)]


def log_density_wide(y: Tensor, bounds: list[int], mean: Tensor, covariance: Tensor, masks: Tensor) -> Tensor:
    """The same for many columns, `[rows, K]`: rows sorted by pattern are whitened, one component at a time."""
    out = y.new_empty(len(y), len(mean))
    for p, (a, b) in enumerate(pairwise(bounds)):
        known = masks[p]
        for k in range(len(mean)):
            factor = torch.linalg.cholesky(covariance[k][known][:, known])
            white = torch.linalg.solve_triangular(factor, (y[a:b, known] - mean[k, known]).T, upper=False)
            logdet = 2 * factor.diagonal().log().sum()
            out[a:b, k] = -0.5 * (len(factor) * LOG_2PI + logdet + white.square().sum(0))
    return out


@dataclass
class Moments:
    """Expected sufficient statistics of K Gaussians: `weight [K]`, `first [K, d]`, `second [K, d, d]`."""

    weight: Tensor
    first: Tensor
    second: Tensor

    @classmethod
    def zeros(cls, components: int, d: int, like: Tensor) -> Moments:
        return cls(like.new_zeros(components), like.new_zeros(components, d), like.new_zeros(components, d, d))

    def add(
        self, responsibility: Tensor, values: Tensor, bounds: list[int], mean: Tensor, swept: Swept, phi: Tensor | None
    ) -> None:
        """Adds rows sorted by pattern; `bounds` are the offsets of the patterns of `swept` in them.

        E[y] = T y_O + c with T = I on O plus the regression coefficients, so the rows of a pattern enter only
        through their weighted moments; everything else is done once a pattern.
        """
        d = mean.shape[-1]
        patterns, components = swept.logdet.shape
        second = mean.new_zeros(d, d, patterns, components)
        if phi is not None:
            totals = torch.empty(patterns, components, phi.shape[1], dtype=mean.dtype, device=mean.device)
            for p, (a, b) in enumerate(pairwise(bounds)):
                torch.mm(responsibility[a:b].T, phi[a:b], out=totals[p])
            flat = totals.permute(2, 0, 1).contiguous()
            i, j = torch.triu_indices(d, d, device=mean.device)
            second[i, j] = second[j, i] = flat[: len(i)]
            first, count = flat[len(i) : -1], flat[-1]
        else:
            first, count = mean.new_empty(d, patterns, components), mean.new_empty(patterns, components)
            for p, (a, b) in enumerate(pairwise(bounds)):
                r, y = responsibility[a:b].T, values[a:b]
                count[p], first[:, p] = r.sum(1), (r @ y).T
                for k in range(components):
                    second[:, :, p, k] = (r[k, :, None] * y).T @ y
        if not bool(swept.masks.all()):
            first, second = self._complete(count, first, second, mean, swept)
        self.weight += count.sum(0)
        self.first += first.sum(1).T
        self.second += second.sum(2).permute(2, 0, 1)

    @staticmethod
    def _complete(count: Tensor, first: Tensor, second: Tensor, mean: Tensor, swept: Swept) -> tuple[Tensor, Tensor]:
        """Moments of whole rows from moments of their known part, in the layout `[d, (d,) P, K]` of the sweep.

        With T as above and c = mu_M - T mu_O: first = T m + count c, second = T (S T' + m c') + c (T m + count c)'
        plus count times the conditional covariance. Column by column, so that temporaries stay in cache.
        """
        known = swept.masks.to(mean.dtype).T[..., None]
        transfer = swept.matrix * ((1 - known)[:, None] * known[None])
        shift = mean.T[:, None] * (1 - known) - (transfer * mean.T[:, None]).sum(1)
        residual = swept.matrix * ((1 - known)[:, None] * (1 - known)[None])
        missing = torch.nonzero(~swept.masks.all(0))[:, 0].tolist()
        half = second.clone()  # S T' + m c': only columns that are missing somewhere differ from S
        carried = first + count * shift
        for i in missing:
            half[:, i] = half[:, i] + (second * transfer[i]).sum(1) + first * shift[i]
            carried[i] += (transfer[i] * first).sum(0)
        full = half.clone()
        for i in missing:
            full[i] = full[i] + (transfer[i][:, None] * half).sum(0) + shift[i] * carried + count * residual[i]
        return carried, full
