"""MADE: one masked network gives every conditional of an order in one pass."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from genprob.data.schema import Schema
from genprob_autoregressive.masked_network import MaskedNetwork
from genprob_autoregressive.ordered import Average, OrderedModel


class MADE(OrderedModel):
    """A masked autoencoder for distribution estimation, over binary, categorical and binned columns.

    See also: Germain, Gregor, Murray and Larochelle 2015, MADE: Masked autoencoder for distribution estimation.

    Arguments:
        hidden: widths of the hidden layers.
        agnostic: train over all orders instead of the schema's; needed where evidence may be anything.
        orders: stated orders whose densities are averaged, where trained over all.
        average: `densities`; an average of `conditionals` is no density and is refused.
        direct: whether inputs also reach outputs directly.
        bins: most bins of a number, between quantiles of the training rows.
        completions: by which a row with holes is summed out in training, where the order is fixed.
    """

    net: MaskedNetwork

    def __init__(
        self,
        schema: Schema,
        *,
        hidden: Sequence[int] = (128, 128),
        agnostic: bool = False,
        orders: int = 1,
        average: Average = "densities",
        direct: bool = True,
        bins: int = 24,
        completions: int = 8,
    ) -> None:
        super().__init__(schema, hidden, agnostic, orders, average, bins, completions)
        self.direct = direct

    def network(self, sizes: list[int]) -> MaskedNetwork:
        return MaskedNetwork(sizes, self.hidden, direct=self.direct)

    def start_at(self, logits: Tensor) -> None:
        self.net.offset.copy_(logits)

    def log_probs(self, levels: Tensor, known: Tensor, order: Tensor) -> Tensor:
        return self.normalised(self.net(self.indicators(levels, known), torch.argsort(order)))

    def next_log_probs(self, levels: Tensor, known: Tensor, order: Tensor, position: int) -> Tensor:
        own = self.levels_of(int(order[position]))
        return torch.log_softmax(self.net(self.indicators(levels, known), torch.argsort(order), own), -1)

    def agnostic_density(self, levels: Tensor, known: Tensor) -> Tensor:
        """In one random order for all rows, of which each row leaves out what it does not know."""
        return self._along(levels, known, torch.randperm(self.schema.width, device=levels.device))
