"""Rows: the training data as EM wants them, encoded once and sorted by mask pattern."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from genprob.data.batch import Batch
from genprob.data.encoders import Encoder
from genprob_mixture.gaussian import WIDE, features
from genprob_mixture.patterns import Patterns, group
from genprob_mixture.tables import Tables

_CACHE_BYTES = 2**30


@dataclass(frozen=True, eq=False)
class Rows:
    """Encoded rows in the order of their patterns.

    Attributes:
        y: `[rows, d]` encoded reals, 0 where unknown.
        patterns: their mask patterns; `order` maps sorted positions to the batch's.
        hits: `[rows, width + U]` indicators of levels, then of the distinct values of each count column.
        count_values: the distinct values of each count column, `[U_c]` each.
        phi: `features(y)`, or None where they would not fit in memory.
        column_log_jacobian: `[rows, d]` in the batch's order: log |dy/dx| of the known reals, plus the log width of a
            cell; 0 where unknown.
    """

    y: Tensor
    patterns: Patterns
    hits: Tensor
    count_values: list[Tensor]
    phi: Tensor | None
    column_log_jacobian: Tensor

    def __len__(self) -> int:
        return len(self.y)

    @property
    def log_jacobian(self) -> Tensor:
        """`[rows]` in the batch's order, summed over the known columns."""
        return self.column_log_jacobian.sum(-1)


def encode(batch: Batch, encoder: Encoder, tables: Tables) -> Rows:
    """The rows of a batch."""
    columns = encoder.columns
    x = batch.values[:, columns].to(torch.float64)
    known = batch.observed[:, columns]
    patterns = group(known)
    safe = encoder.inside(x)
    y = torch.where(known, encoder.encode(safe), 0.0)
    log_jacobian = torch.where(known, encoder.log_slope(safe), 0.0)
    hits = [tables.one_hot(batch.values, batch.observed)]
    count_values = []
    for c in tables.counts:
        seen = batch.observed[:, c]
        values, position = torch.unique(torch.where(seen, batch.values[:, c], 0.0).double(), return_inverse=True)
        count_values.append(values)
        hits.append(torch.nn.functional.one_hot(position, len(values)).double() * seen[:, None])
    order = patterns.order
    y, table = y[order], torch.cat(hits, 1)[order]
    d = y.shape[1]
    small = d <= WIDE and len(y) * (d + 2) * (d + 1) * 4 < _CACHE_BYTES
    return Rows(y, patterns, table, count_values, features(y) if small and d else None, log_jacobian)
