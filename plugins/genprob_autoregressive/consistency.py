"""Consistency: by how much two orders of a pair of cells disagree, as a cost of learning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genprob.data.batch import Batch
from genprob_autoregressive.masks import random_masks

if TYPE_CHECKING:
    from genprob_autoregressive.anyorder import ResidualAnyOrder

SHARE = 4
"""One row in so many is looked at: three conditionals of each have to be worked out."""
_PATTERNS = 16


def disagreement(model: ResidualAnyOrder, batch: Batch, member: int) -> Tensor:
    """Mean squared disagreement, nats, of log p(a | c) + log p(b | a, c) and log p(b | c) + log p(a | b, c), a scalar.

    c is a random part of the other cells; where all such pairs agree the conditionals are those of one joint. Large
    differences count linearly, so that no single row steers.
    """
    rows = torch.arange(0, len(batch), SHARE, device=batch.values.device)
    values, observed = batch.values[rows].double(), batch.observed[rows]
    width = observed.shape[1]
    if width < 2:
        return values.new_zeros(())
    # One pair for each of few masks, so that the Gaussian has few matrices to invert.
    which = torch.arange(len(rows)) % _PATTERNS
    shown = random_masks(_PATTERNS, width, torch.device("cpu"))
    pair = torch.rand(_PATTERNS, width).argsort(1)[:, :2]
    shown = shown.scatter(1, pair, False)[which].to(values.device)
    a, b = (pair[which, i].to(values.device)[:, None] for i in (0, 1))
    both = (observed.gather(1, a) & observed.gather(1, b))[:, 0]
    given = observed & shown
    none, with_a, with_b = (
        model.log_cells(values, given if at is None else given.scatter(1, at, True) & observed, member)
        for at in (None, a, b)
    )
    one, other = none.gather(1, a) + with_a.gather(1, b), none.gather(1, b) + with_b.gather(1, a)
    apart = torch.where(both, (one - other)[:, 0], 0.0)
    cost = torch.where(apart.abs() < 1, apart.square(), 2 * apart.abs() - 1)
    return cost.sum() / both.sum().clamp(min=1)
