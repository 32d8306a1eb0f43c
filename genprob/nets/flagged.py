"""A first layer for rows with holes."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import linear


class Flagged(nn.Linear):
    """A linear layer over values and, after them, flags that say which cells are known.

    Where every flag is one, as in a table without holes, their part is the same for all rows and joins the bias.

    Arguments:
        values: how many values there are.
        flags: how many flags.
        outputs: numbers per row.
    """

    def __init__(self, values: int, flags: int, outputs: int) -> None:
        super().__init__(values + flags, outputs)
        self.values = values

    def forward(self, input: Tensor) -> Tensor:
        shown, flags = input[..., : self.values], input[..., self.values :]
        if not bool((flags == 1).all()):
            return super().forward(input)
        weight = self.weight
        return linear(shown, weight[:, : self.values], self.bias + weight[:, self.values :].sum(1))
