"""NADE: conditionals given a set of known cells, whose embeddings are added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from genprob.data.schema import Schema
from genprob_autoregressive.bin_law import BinLaw
from genprob_autoregressive.laws import LevelLaw
from genprob_autoregressive.ordered import Average, OrderedModel
from genprob_autoregressive.set_network import SetNetwork

_PIECE = 16_384
"""Rows that go through the network at once."""


@dataclass(frozen=True, eq=False)
class NADEContexts:
    """Partly known rows as sums of embeddings.

    Attributes:
        model: the network.
        hidden: `[n, hidden]` the last hidden layer of each row.
    """

    model: NADE
    hidden: Tensor

    @torch.no_grad()
    def law(self, column: int, rows: Tensor | None = None) -> LevelLaw | BinLaw:
        hidden = self.hidden if rows is None else self.hidden[rows]
        log_p = torch.log_softmax(self.model.net.readout_of(hidden, self.model.levels_of(column)), -1).double()
        bins = self.model.placed
        if column in bins.edges:
            return BinLaw(bins, column, log_p)
        return LevelLaw(column, log_p, self.model.schema.columns[column].support.kind == "binary")


class NADE(OrderedModel):
    """A neural autoregressive distribution estimator, over binary, categorical and binned columns.

    See also: Larochelle and Murray 2011, The neural autoregressive distribution estimator; Uria, Murray and
    Larochelle 2014, A deep and tractable density estimator.

    Arguments:
        hidden: widths of the hidden layers.
        agnostic: train over all orders instead of the schema's; needed where evidence may be anything.
        orders: stated orders whose densities are averaged, where trained over all.
        average: `densities`; an average of `conditionals` is no density and is refused.
        bins: most bins of a number, between quantiles of the training rows.
        completions: by which a row with holes is summed out in training, where the order is fixed.
    """

    net: SetNetwork

    def __new__(cls, schema: Schema, *, agnostic: bool = False, **options: Any) -> NADE:
        # One name for users, two kinds of conditionals for strategies, which ask for methods.
        kind: type[NADE] = AgnosticNADE if agnostic and cls is NADE else cls
        return object.__new__(kind)

    def __init__(
        self,
        schema: Schema,
        *,
        hidden: Sequence[int] = (128,),
        agnostic: bool = False,
        orders: int = 1,
        average: Average = "densities",
        bins: int = 24,
        completions: int = 8,
    ) -> None:
        super().__init__(schema, hidden, agnostic, orders, average, bins, completions)

    def network(self, sizes: list[int]) -> SetNetwork:
        return SetNetwork(sizes, self.hidden)

    def start_at(self, logits: Tensor) -> None:
        self.net.bias.copy_(logits)

    def log_probs(self, levels: Tensor, known: Tensor, order: Tensor) -> Tensor:
        return self.normalised(self.net.along(self.indicators(levels, known), order))

    def next_log_probs(self, levels: Tensor, known: Tensor, order: Tensor, position: int) -> Tensor:
        own = self.levels_of(int(order[position]))
        return torch.log_softmax(self.net(self.indicators(levels, known), own), -1)

    def agnostic_density(self, levels: Tensor, known: Tensor) -> Tensor:
        """Each row shows some of its known cells, as many as not; the hidden ones count in proportion.

        With d known cells, k of them shown and all k equally likely, d / (d - k) times the sum over the d - k hidden
        ones of log p(cell | shown) has the mean over orders of log p(known cells) as its mean (Uria et al. 2014).
        """
        rank = torch.where(known, torch.rand(known.shape, device=known.device), 2.0).argsort(1).argsort(1)
        count = known.sum(1)
        shown = torch.floor(torch.rand(len(count), device=count.device) * count).long()
        hidden = known & (rank >= shown[:, None])
        log_p = self.normalised(self.net(self.indicators(levels, known & ~hidden)))
        at = log_p.gather(1, self._first + levels).double()
        scale = count / (count - shown).clamp(min=1)
        return scale * torch.where(hidden, at, 0.0).sum(1)


class AgnosticNADE(NADE):
    """A NADE of all orders: it knows every variable given any others (`AnyOrder`)."""

    @torch.no_grad()
    def contexts(self, values: Tensor, known: Tensor) -> NADEContexts:
        x = self.indicators(self.placed.encode(values), known)
        return NADEContexts(self, torch.cat([self.net.features(part @ self.net.embedding) for part in x.split(_PIECE)]))
