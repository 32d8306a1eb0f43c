"""A first layer for rows with holes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear


class Flagged(nn.Module):
    """A linear layer over values and, after them, flags that say which cells are known.

    A cell that is known adds nothing but its value, one that is missing adds its column of `missing`; so rows without
    holes may come without flags, never touch those columns, and cost what they would without them.

    Arguments:
        values: how many values there are.
        flags: how many flags.
        outputs: numbers per row.
    """

    def __init__(self, values: int, flags: int, outputs: int) -> None:
        super().__init__()
        whole = nn.Linear(values + flags, outputs)
        self.values = values
        self.weight = nn.Parameter(whole.weight.detach()[:, :values].clone())
        self.missing = nn.Parameter(whole.weight.detach()[:, values:].clone())
        self.bias = nn.Parameter(whole.bias.detach().clone())

    def forward(self, rows: Tensor) -> Tensor:
        if rows.shape[-1] == self.values:
            return linear(rows, self.weight, self.bias)
        return linear(rows, torch.cat([self.weight, -self.missing], 1), self.bias + self.missing.sum(1))
