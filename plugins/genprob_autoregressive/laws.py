"""Laws: the conditionals of one column in many contexts, drawn from, weighed and summed up in float64."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from genprob.query.batch import LIKELIHOOD, POINT, SET, QueryBatch
from genprob.query.capabilities import Met
from genprob.results.record import QUANTILES, Marginal


@dataclass(frozen=True, eq=False)
class LevelLaw:
    """Probabilities of a categorical or binary column.

    Attributes:
        column: flat column.
        log_p: `[n, levels]`, normalised.
        numeric: whether codes are values (a binary), so that means are meaningful.
    """

    column: int
    log_p: Tensor
    numeric: bool

    def __len__(self) -> int:
        return len(self.log_p)

    def take(self, index: Tensor) -> LevelLaw:
        return LevelLaw(self.column, self.log_p[index], self.numeric)

    def log_prob(self, values: Tensor) -> Tensor:
        return self.log_p.gather(1, values.long()[:, None])[:, 0]

    def draw(self, index: Tensor | None = None) -> Tensor:
        return pick(self.log_p, index).double()

    def meet(self, queries: QueryBatch) -> Met:
        kind = torch.as_tensor(queries.kind[:, self.column], device=self.log_p.device)
        log_weight = torch.zeros_like(self.log_p)
        if self.column in queries.likelihoods:
            weights = torch.log(torch.as_tensor(queries.likelihoods[self.column], device=self.log_p.device))
            log_weight = torch.where(((kind == SET) | (kind == LIKELIHOOD))[:, None], weights, log_weight)
        point = kind == POINT
        if bool(point.any()):
            codes = torch.as_tensor(np.nan_to_num(queries.a[:, self.column]), device=kind.device).long()
            levels = torch.arange(self.log_p.shape[1], device=kind.device)
            log_weight = torch.where(point[:, None] & (levels != codes[:, None]), -torch.inf, log_weight)
        told = self.log_p + log_weight
        log_mass = torch.logsumexp(told, 1)
        return Met(log_mass, pick(told).double(), torch.zeros_like(log_mass))

    def marginal(self, queries: int, log_weight: Tensor | None = None) -> Marginal:
        each = self.log_p.exp().reshape(queries, -1, self.log_p.shape[1])
        pmf, error = averaged(each, shares(queries, len(self), log_weight, each.device))
        blank = torch.full_like(pmf[:, 0], torch.nan)
        mean = sd = mcse = blank
        quantiles = blank[:, None].expand(-1, len(QUANTILES))
        if self.numeric:
            mean, mcse = pmf[:, 1], error[:, 1]
            sd = (mean * (1 - mean)).clamp(min=0).sqrt()
            quantiles = torch.stack([(pmf[:, 0] < q).double() for q in QUANTILES], 1)
        return _marginal(mean, sd, mcse, quantiles, pmf, error)


def pick(log_p: Tensor, rows: Tensor | None = None) -> Tensor:
    """One position in proportion to exp(log_p) for each of `rows` of `[n, m]` (all if None).

    Rows of -inf give position 0. The rows' distribution functions stand one after the other in one sorted array.
    """
    n, m = log_p.shape
    peak = log_p.amax(1, keepdim=True)
    share = torch.exp(log_p - torch.where(torch.isfinite(peak), peak, 0.0)).cumsum(1)
    share = share / share[:, -1:].clamp(min=1e-300)
    row = torch.arange(n, device=log_p.device) if rows is None else rows
    edges = (share + torch.arange(n, device=share.device)[:, None]).flatten()
    u = torch.rand(len(row), dtype=share.dtype, device=share.device) + row
    at = torch.searchsorted(edges, u, right=True) - row * m
    last = (share < 1).sum(1).clamp(max=m - 1)  # whatever rounding does, nothing without a share is picked
    return torch.minimum(at.clamp(min=0), last[row])


def shares(queries: int, contexts: int, log_weight: Tensor | None, device: torch.device) -> Shares:
    """What each of `contexts` counts among those of its query."""
    each = contexts // queries
    if log_weight is None:
        even = torch.full((queries, each), 1 / each, dtype=torch.float64, device=device)
        return Shares(even, each > 1)
    return Shares(torch.softmax(log_weight.reshape(queries, each), 1), False)


@dataclass(frozen=True, eq=False)
class Shares:
    """Shares `[queries, contexts]` that add up to one, of contexts that were `drawn` or are all there are."""

    of: Tensor
    drawn: bool


def averaged(each: Tensor, share: Shares) -> tuple[Tensor, Tensor]:
    """The mean of `[queries, contexts, ...]` over contexts, and its standard error if they are draws."""
    mean = torch.einsum("qc,qc...->q...", share.of, each)
    n = each.shape[1]
    return mean, each.std(1, unbiased=False) / math.sqrt(n) if share.drawn else torch.zeros_like(mean)


def _marginal(
    mean: Tensor, sd: Tensor, mcse: Tensor, quantiles: Tensor, pmf: Tensor | None = None, error: Tensor | None = None
) -> Marginal:
    arrays = [None if t is None else t.double().cpu().numpy() for t in (mean, sd, mcse, quantiles, pmf, error)]
    assert arrays[0] is not None and arrays[1] is not None and arrays[2] is not None and arrays[3] is not None
    return Marginal(arrays[0], arrays[1], arrays[2], arrays[3], arrays[4], arrays[5], rao_blackwell=True)
