"""Masks: which cells of a row the network is shown while it learns."""

from __future__ import annotations

import torch
from torch import Tensor

MOST, FEWEST = 64, 8
"""Distinct masks in a batch: the Gaussian inverts a matrix for each."""
_NUMBERS = 48
"""Columns up to which a batch has as many masks as that; inverting grows with their cube."""


def distinct(width: int) -> int:
    """How many masks a batch of rows of so many columns has."""
    return MOST if width <= _NUMBERS else max(FEWEST, int(MOST * (_NUMBERS / width) ** 2))


def random_masks(rows: int, width: int, device: torch.device) -> Tensor:
    """`[rows, width]` bool, True where a cell is shown: `distinct(width)` masks in turn.

    The number of shown cells is uniform on 0..width-1, stratified over the masks; which ones is random.
    """
    number = min(distinct(width), rows)
    # Drawn on the CPU whatever the device, so that one generator decides.
    shown = ((torch.arange(number) + torch.rand(number)) / number * width).long()
    rank = torch.rand(number, width).argsort(1).argsort(1)
    return (rank < shown[:, None])[torch.arange(rows) % number].to(device)
