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


def group(known: Tensor, *, separate: bool = False) -> Patterns:
    """Groups `[rows, columns]` bool masks; `separate` makes every row a pattern of its own."""
    rows, columns = known.shape
    device = known.device
    if separate:
        each = torch.arange(rows, device=device)
        return Patterns(known, each, list(range(rows + 1)), each)
    if rows and bool((known == known[:1]).all()):
        zero = torch.zeros(rows, dtype=torch.long, device=device)
        return Patterns(known[:1], torch.arange(rows, device=device), [0, rows], zero)
    if columns <= 62:
        power = 2 ** torch.arange(columns, device=device)
        values, of_row = torch.unique(known.long() @ power, return_inverse=True)
        masks = ((values[:, None] >> torch.arange(columns, device=device)) & 1).bool()
    else:
        masks, of_row = torch.unique(known, dim=0, return_inverse=True)
    order = torch.argsort(of_row, stable=True)
    counts = torch.bincount(of_row, minlength=len(masks))
    starts = [0, *torch.cumsum(counts, 0).tolist()]
    return Patterns(masks, order, starts, of_row)
