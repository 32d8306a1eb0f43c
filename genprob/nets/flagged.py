"""A first layer for rows with holes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear


class Flagged(nn.Module):
    """A linear layer over values and, after them, flags that say which cells are known.

    Where every flag is one, as in a table without holes, their part is the same for all rows and joins the bias.

    Arguments:
        values: how many values there are.
        flags: how many flags.
        outputs: numbers per row.
    """

    def __init__(self, values: int, flags: int, outputs: int) -> None:
        super().__init__()
        whole = nn.Linear(values + flags, outputs)  # both parts start as one layer over all of them would
        self.values = values
        self.weight = nn.Parameter(whole.weight.detach()[:, :values].clone())
        self.known = nn.Parameter(whole.weight.detach()[:, values:].clone())
        self.bias = nn.Parameter(whole.bias.detach().clone())

    def forward(self, rows: Tensor) -> Tensor:
        shown, flags = rows[..., : self.values], rows[..., self.values :]
        if bool((flags == 1).all()):
            return linear(shown, self.weight, self.bias + self.known.sum(1))
        return linear(rows, torch.cat([self.weight, self.known], 1), self.bias)
