"""Weighted rows of levels: what a model of levels answers queries with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from genprob.query.batch import QueryBatch
from genprob.query.weighted import marginals
from genprob.results.record import Marginal
from genprob_autoregressive.bins import Bins

_AVERAGED = 4
"""Values per row of levels that the marginals of numbers rest on."""
_MOST_AVERAGED = 4096


class LevelCloud:
    """J weighted rows of levels a query; within its level a number follows the bin's law given the evidence.

    Arguments:
        bins: the levels.
        levels: `[Q, J, width]`.
        log_weight: `[Q, J]`, evidence included.
        queries: the evidence.
        listed: `[Q]` bool, whether the rows are all there are, so that their weights have no Monte-Carlo error.
    """

    def __init__(self, bins: Bins, levels: Tensor, log_weight: Tensor, queries: QueryBatch, listed: np.ndarray) -> None:
        self.bins, self.levels, self.log_weight = bins, levels, log_weight
        self.queries, self.listed = queries, listed

    def draw(self, index: Tensor) -> np.ndarray:
        chosen = self.levels.gather(1, index[..., None].expand(-1, -1, self.levels.shape[-1]))
        return self.bins.draw(chosen, self.queries)

    def marginals(self, targets: tuple[str, ...]) -> dict[str, Marginal]:
        index = torch.arange(self.levels.shape[1], device=self.levels.device).expand(*self.levels.shape[:2])
        repeats = max(1, min(_AVERAGED, _MOST_AVERAGED // self.levels.shape[1]))
        values = np.stack([self.draw(index) for _ in range(repeats)], 2)
        out = marginals(self.queries.schema, values, self.log_weight.cpu().numpy(), targets)
        return {name: self._certain(name, m, values) for name, m in out.items()}

    def _certain(self, name: str, marginal: Marginal, values: np.ndarray) -> Marginal:
        """Levels that were all listed leave no error but that of the draws within them, `values [Q, J, R, width]`."""
        weight = torch.softmax(self.log_weight, 1).cpu().numpy()
        within = values[..., self.queries.schema.slices[name]].var(2) / values.shape[2]
        left = np.sqrt((weight[..., None] ** 2 * within).sum(1)).reshape(marginal.mcse.shape)
        listed = self.listed.reshape(-1, *[1] * (marginal.mcse.ndim - 1))
        marginal = replace(marginal, mcse=np.where(listed & ~np.isnan(marginal.mcse), left, marginal.mcse))
        if marginal.pmf_mcse is None:
            return marginal
        error = marginal.pmf_mcse.copy()
        error[self.listed] = 0.0
        return replace(marginal, pmf_mcse=error, rao_blackwell=bool(self.listed.all()))
