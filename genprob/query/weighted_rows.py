"""Weighted rows: the plainest cloud, whose particles are whole rows."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from genprob.query.batch import QueryBatch
from genprob.query.weighted import marginals
from genprob.results.record import Marginal


class WeightedRows:
    """Rows drawn near evidence, with their weights; see `genprob.query.capabilities.Cloud`.

    Arguments:
        queries: what was asked.
        values: `[Q, J, width]` in data units.
        log_weight: `[Q, J]`.
    """

    def __init__(self, queries: QueryBatch, values: np.ndarray, log_weight: Tensor) -> None:
        self.queries, self.values, self.log_weight = queries, values, log_weight

    def draw(self, index: Tensor) -> np.ndarray:
        return np.take_along_axis(self.values, index.cpu().numpy()[..., None], 1)

    def marginals(self, targets: tuple[str, ...]) -> dict[str, Marginal]:
        weight = self.log_weight.double().cpu().numpy()
        return marginals(self.queries.schema, self.values[:, :, None], weight, targets)
