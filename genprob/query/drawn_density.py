"""A rough log-density of known cells from draws, for joints that can be sampled and nothing else."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from genprob.data.batch import Batch
from genprob.data.schema import Schema

DRAWS = 1000
_LEVELS = 0.1
"""Share of a draw's category that is spread over the others."""
_LOG_ROOT_TWO_PI = 0.9189385332046727


class DrawnDensity:
    """Kernels around draws: normal for numbers, with Scott's width (1992), nearly one-hot for categories.

    It ranks rows (`genprob.query.capabilities.ScoresRows`); as a density it is too smooth.

    Arguments:
        schema: the modelled variables.
        draws: `[K, width]` in data units.
    """

    def __init__(self, schema: Schema, draws: np.ndarray) -> None:
        columns = schema.columns
        self.draws = torch.as_tensor(draws, dtype=torch.float64)
        self.levels = torch.tensor([v.cardinality or 0 for v in columns])
        spread = self.draws.std(0).clamp(min=1e-12)
        self.spread = torch.where(self.levels > 0, 1.0, spread)

    def score_rows(self, batch: Batch) -> Tensor:
        """log-density of the known cells of each row, `[rows]`."""
        values = batch.values.double().cpu()
        out = torch.zeros(len(batch), dtype=torch.float64)
        observed = batch.observed.cpu()
        patterns, which = torch.unique(observed, dim=0, return_inverse=True)
        for pattern, known in enumerate(patterns):
            rows = (which == pattern).nonzero()[:, 0]
            out[rows] = self._score(values[rows], known)
        return out.to(batch.values.device)

    def score_masks(self, batch: Batch, masks: Tensor) -> Tensor:
        """`score_rows` of rows seen through each of many masks, `[masks, rows]`."""
        return torch.stack([self.score_rows(replace(batch, observed=batch.observed & mask)) for mask in masks])

    def _score(self, values: Tensor, known: Tensor) -> Tensor:
        numbers, named = known & (self.levels == 0), known & (self.levels > 0)
        table = torch.zeros(len(values), len(self.draws), dtype=torch.float64)
        if bool(numbers.any()):
            width = len(self.draws) ** (-1 / (4 + int(numbers.sum()))) * self.spread[numbers]
            off = torch.cdist(values[:, numbers] / width, self.draws[:, numbers] / width)
            table = table - 0.5 * off**2 - width.log().sum() - int(numbers.sum()) * _LOG_ROOT_TWO_PI
        for j in named.nonzero()[:, 0].tolist():
            same = values[:, j, None] == self.draws[:, j]
            other = _LEVELS / max(1, int(self.levels[j]) - 1)
            table = table + torch.where(same, math.log(1 - _LEVELS), math.log(other))
        return torch.logsumexp(table, 1) - math.log(len(self.draws))
