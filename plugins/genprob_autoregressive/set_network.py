"""The network of NADE: every column's levels given a set of known cells, whose embeddings are added."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

_ALL = slice(None)


class SetNetwork(nn.Module):
    """Sum of the known cells' embeddings, hidden layers, and logits of every column.

    See also: Larochelle and Murray 2011, The neural autoregressive distribution estimator; Uria, Murray and
    Larochelle 2014, A deep and tractable density estimator.

    Arguments:
        sizes: levels of each column.
        hidden: widths of the hidden layers.
    """

    def __init__(self, sizes: Sequence[int], hidden: Sequence[int]) -> None:
        super().__init__()
        total = sum(sizes)
        self.starts = [sum(sizes[:j]) for j in range(len(sizes))]
        self.like: dict[int, list[int]] = {}
        for j, size in enumerate(sizes):
            self.like.setdefault(size, []).append(j)
        self.embedding = nn.Parameter(torch.randn(total, hidden[0]) / len(sizes) ** 0.5)
        self.offset = nn.Parameter(torch.zeros(hidden[0]))
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(hidden))
        self.readout = nn.Parameter(0.01 * torch.randn(total, hidden[-1]))
        self.bias = nn.Parameter(torch.zeros(total))

    def features(self, added: Tensor) -> Tensor:
        """The last hidden layer, given sums of embeddings `[..., hidden]`."""
        out = relu(added + self.offset)
        for layer in self.layers:
            out = relu(layer(out))
        return out

    def forward(self, x: Tensor, levels: slice = _ALL) -> Tensor:
        """Logits `[n, levels]` of every column, given indicators `[n, total]` of the known cells."""
        return self.readout_of(self.features(x @ self.embedding), levels)

    def readout_of(self, hidden: Tensor, levels: slice = _ALL) -> Tensor:
        """Logits `[n, levels]`, given the last hidden layer `[n, hidden]`."""
        return hidden @ self.readout[levels].T + self.bias[levels]

    def along(self, x: Tensor, order: Tensor) -> Tensor:
        """Logits `[n, total]` of each column given the known cells among `x` that come before it in `order`."""
        place = torch.argsort(order)
        groups = []
        for size, columns in self.like.items():
            at = place[columns]
            turn = torch.argsort(at)
            groups.append((at[turn], self._levels(size, [columns[i] for i in turn.tolist()])))
        own = [torch.einsum("nck,ckh->nch", x[:, index], self.embedding[index]) for _, index in groups]
        if len(groups) == 1:
            ordered = own[0]
        else:
            ordered = torch.cat(own, 1)[:, torch.argsort(torch.cat([at for at, _ in groups]))]
        nothing = torch.zeros_like(ordered[:, :1])
        h = self.features(torch.cat([nothing, ordered[:, :-1].cumsum(1)], 1))
        out = torch.zeros_like(x)
        for at, index in groups:
            part = h if len(groups) == 1 else h[:, at]
            out[:, index] = torch.einsum("nch,ckh->nck", part, self.readout[index]) + self.bias[index]
        return out

    def _levels(self, size: int, columns: list[int]) -> Tensor:
        """Positions `[columns, size]` of the levels of columns of one size."""
        first = torch.tensor([self.starts[j] for j in columns], device=self.bias.device)
        return first[:, None] + torch.arange(size, device=self.bias.device)
