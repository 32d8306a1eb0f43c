"""Mask patterns: rows grouped by which of their columns are known, so that matrices are factored once a pattern."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Patterns:
    """The distinct masks of some rows.

    Attributes:
        masks: `[patterns, columns]` bool, True where known.
        order: `[rows]` positions of the rows sorted by pattern.
        starts: python list of `patterns + 1` offsets into `order`.
        of_row: `[rows]` the pattern of each row.
    """

    masks: Tensor
    order: Tensor
    starts: list[int]
    of_row: Tensor

    def __len__(self) -> int:
        return len(self.masks)


def group(known: Tensor) -> Patterns:
    """Groups `[rows, columns]` bool masks."""
    rows, columns = known.shape
    if columns == 0 or bool(known.all()):
        zero = torch.zeros(rows, dtype=torch.long, device=known.device)
        masks = torch.ones(1, columns, dtype=torch.bool, device=known.device)
        return Patterns(masks, torch.arange(rows, device=known.device), [0, rows], zero)
    if columns <= 62:
        keys = known.long() @ (2 ** torch.arange(columns, device=known.device))
        values, of_row = torch.unique(keys, return_inverse=True)
        masks = ((values[:, None] >> torch.arange(columns, device=known.device)) & 1).bool()
    else:
        masks, of_row = torch.unique(known, dim=0, return_inverse=True)
    order = torch.argsort(of_row, stable=True)
    counts = torch.bincount(of_row, minlength=len(masks))
    starts = [0, *torch.cumsum(counts, 0).tolist()]
    return Patterns(masks, order, starts, of_row)
