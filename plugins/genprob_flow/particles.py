"""Weighted rows."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from genprob.query.batch import POINT, QueryBatch
from genprob.query.weighted import marginals
from genprob.results.record import Marginal


class RowCloud:
    """J weighted rows a query.

    Arguments:
        queries: what was asked.
        values: `[Q, J, width]` in data units.
        log_weight: `[Q, J]`, evidence included.
    """

    def __init__(self, queries: QueryBatch, values: np.ndarray, log_weight: Tensor) -> None:
        given = (queries.kind == POINT)[:, None]
        self.queries, self.log_weight = queries, log_weight
        self.values = np.where(given, np.nan_to_num(queries.a)[:, None], values)

    def draw(self, index: Tensor) -> np.ndarray:
        return np.take_along_axis(self.values, index.cpu().numpy()[..., None], 1)

    def marginals(self, targets: tuple[str, ...]) -> dict[str, Marginal]:
        weight = self.log_weight.to(torch.float64).cpu().numpy()
        return marginals(self.queries.schema, self.values[:, :, None], weight, targets)
