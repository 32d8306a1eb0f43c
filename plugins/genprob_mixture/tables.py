"""Tables: the columns that take countably many values, each a probability table or a count law per component."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from genprob.data.schema import Schema


@dataclass(frozen=True)
class Tables:
    """Which flat columns are discrete and where their values lie in one concatenated axis.

    Attributes:
        levels: flat columns of categorical and binary variables.
        sizes: number of levels of each.
        counts: flat columns of count variables.
    """

    levels: list[int]
    sizes: list[int]
    counts: list[int]

    @classmethod
    def of(cls, schema: Schema) -> Tables:
        levels = [j for j, v in enumerate(schema.columns) if v.cardinality is not None]
        sizes = [schema.columns[j].cardinality or 0 for j in levels]
        return cls(levels, sizes, [j for j, v in enumerate(schema.columns) if v.is_count])

    @property
    def width(self) -> int:
        """Length of the concatenated axis of levels."""
        return sum(self.sizes)

    @property
    def starts(self) -> list[int]:
        """First position of each levelled column."""
        out, at = [], 0
        for size in self.sizes:
            out.append(at)
            at += size
        return out

    def normalise(self, logits: Tensor) -> Tensor:
        """Log-softmax within each column of `[..., width]`."""
        if len(set(self.sizes)) == 1:
            shape = logits.shape
            return torch.log_softmax(logits.reshape(*shape[:-1], len(self.sizes), self.sizes[0]), -1).reshape(shape)
        return torch.cat([torch.log_softmax(part, -1) for part in logits.split(self.sizes, -1)], -1) if self.sizes \
            else logits  # fmt: skip

    def one_hot(self, values: Tensor, observed: Tensor) -> Tensor:
        """`[rows, width]` indicators of the flat `values`; all zeros where not observed."""
        out = values.new_zeros(len(values), self.width, dtype=torch.float64)
        if self.levels:
            codes = values[:, self.levels].long() + torch.tensor(self.starts, device=values.device)
            out.scatter_(1, codes, observed[:, self.levels].to(out.dtype))
        return out


def negative_binomial(value: Tensor, log_mean: Tensor, log_size: Tensor) -> Tensor:
    """log pmf of a count with mean m and size r (variance m + m^2 / r); r to infinity is the Poisson law.

    `log_gamma(n + r) - log_gamma(r)` cancels badly for large r, so that limit is taken by Stirling's series.
    """
    size, mean = log_size.exp(), log_mean.exp()
    large = size > 1e5
    safe = torch.where(large, torch.ones_like(size), size)
    ratio = torch.where(
        large,
        value * log_size + value * (value - 1) / (2 * size),
        torch.lgamma(value + safe) - torch.lgamma(safe),
    )
    log_total = torch.logaddexp(log_size, log_mean)
    return ratio - torch.lgamma(value + 1) - size * torch.log1p(mean / size) + value * (log_mean - log_total)


def fit_size(hist: Tensor, values: Tensor, log_mean: Tensor, log_size: Tensor) -> Tensor:
    """log r of greatest likelihood for weighted histograms `[..., U]` of `values [U]`, never below the present one.

    A shrinking grid around the best point so far: two dozen evaluations of a smooth one-dimensional function.
    """
    best, width = log_size, 4.0

    def score(candidate: Tensor) -> Tensor:
        law = negative_binomial(values, log_mean[..., None, None], candidate[..., None])
        return (hist[..., None, :] * law).sum(-1)

    for _ in range(4):
        offsets = torch.linspace(-width, width, 9, dtype=hist.dtype, device=hist.device)
        grid = (best[..., None] + offsets).clamp(-4.0, 14.0)
        grid[..., 4] = best
        best = grid.gather(-1, score(grid).argmax(-1, keepdim=True))[..., 0]
        width /= 4
    return best
