"""The law of a binned number in many contexts: probabilities of its bins, and what is known within them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from genprob.query.batch import QueryBatch
from genprob.query.capabilities import Met
from genprob.results.record import QUANTILES, Marginal
from genprob_autoregressive.bins import Bins
from genprob_autoregressive.laws import averaged, pick, shares


@dataclass(frozen=True, eq=False)
class BinLaw:
    """Probabilities of a number's bins.

    Attributes:
        bins: where they lie.
        column: flat column.
        log_p: `[n, levels]` float64, normalised.
    """

    bins: Bins
    column: int
    log_p: Tensor

    def __len__(self) -> int:
        return len(self.log_p)

    def take(self, index: Tensor) -> BinLaw:
        return BinLaw(self.bins, self.column, self.log_p[index])

    def log_prob(self, values: Tensor) -> Tensor:
        position = self.bins.position(values, self.column)
        return torch.logsumexp(self.log_p + self.bins.log_point(position, self.column), 1)

    def draw(self) -> Tensor:
        nothing = QueryBatch.empty(self.bins.schema, len(self))
        return self._within(pick(self.log_p), nothing)

    def meet(self, queries: QueryBatch) -> Met:
        told = self.bins.told(queries, self.column).to(self.log_p.device)
        scores = self.log_p + told
        log_mass = torch.logsumexp(scores, 1)
        return Met(log_mass, self._within(pick(scores), queries), torch.zeros_like(log_mass))

    def _within(self, level: Tensor, queries: QueryBatch) -> Tensor:
        drawn = self.bins.draw_column(level.cpu()[:, None], queries, self.column)[:, 0]
        return drawn.to(self.log_p.device)

    def marginal(self, queries: int, log_weight: Tensor | None = None) -> Marginal:
        each = self.log_p.exp().reshape(queries, -1, self.log_p.shape[1]).cpu()
        centre, variance = self.bins.moments(self.column)
        share = shares(queries, len(self), None if log_weight is None else log_weight.cpu(), each.device)
        p, _ = averaged(each, share)
        mean, spread = averaged(each @ centre, share)
        sd = (p @ (variance + centre.square()) - mean.square()).clamp(min=0).sqrt()
        quantiles = self.bins.quantiles(p, np.array(QUANTILES), self.column)
        return Marginal(mean.numpy(), sd.numpy(), spread.numpy(), quantiles, rao_blackwell=True)
