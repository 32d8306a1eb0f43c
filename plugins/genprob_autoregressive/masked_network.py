"""The masked network of MADE: a column's output is reached only from columns before it in an order."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, relu

_ALL = slice(None)


class MaskedNetwork(nn.Module):
    """A multilayer network whose connections are cut by degree, for whatever order it is asked in.

    A column's degree is its place in the order, 1 to D. Hidden units have degrees 1 to D-1 in turn. A unit sees units
    of degree no greater than its own, an output only units and inputs of smaller degree.

    See also: Germain, Gregor, Murray and Larochelle 2015, MADE: Masked autoencoder for distribution estimation.

    Arguments:
        sizes: levels of each column; inputs are their indicators, outputs their logits.
        hidden: widths of the hidden layers.
        direct: whether inputs also reach outputs directly.
    """

    column: Tensor

    def __init__(self, sizes: Sequence[int], hidden: Sequence[int], *, direct: bool = True) -> None:
        super().__init__()
        self.columns, total = len(sizes), sum(sizes)
        self.register_buffer("column", torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes)))
        widths = [total, *hidden, total]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))
        self.direct = nn.Linear(total, total, bias=False) if direct else None
        last = self.layers[-1]
        assert isinstance(last, nn.Linear)
        for weight in [last.weight, *([self.direct.weight] if self.direct is not None else [])]:
            nn.init.normal_(weight, std=0.01)
        nn.init.zeros_(last.bias)

    def forward(self, x: Tensor, place: Tensor, levels: slice = _ALL) -> Tensor:
        """Logits `[n, levels]` of indicators `[n, total]`, of an order that gives column j the place `place[j]`."""
        hidden, degrees = x, self.degrees(place)
        *inner, last = (layer for layer in self.layers if isinstance(layer, nn.Linear))
        for i, layer in enumerate(inner):
            hidden = relu(linear(hidden, layer.weight * self.mask(degrees[i], degrees[i + 1]), layer.bias))
        ends = degrees[-1][levels]
        out = linear(hidden, last.weight[levels] * self.mask(degrees[-2] + 1, ends), self.offset[levels])
        if self.direct is not None:
            out = out + linear(x, self.direct.weight[levels] * self.mask(degrees[0] + 1, ends))
        return out

    @property
    def offset(self) -> Tensor:
        """The outputs' offsets `[total]`."""
        last = self.layers[-1]
        assert isinstance(last, nn.Linear)
        return last.bias

    def degrees(self, place: Tensor) -> list[Tensor]:
        """Of every layer's units, inputs and outputs included."""
        ends = place[self.column] + 1
        between = max(1, self.columns - 1)
        inner = [torch.arange(layer.in_features, device=place.device) % between + 1 for layer in self._inner()]
        return [ends, *inner, ends]

    def mask(self, before: Tensor, after: Tensor) -> Tensor:
        """Which of `[after, before]` may be connected: those whose degree does not fall."""
        return (after[:, None] >= before).to(self.offset.dtype)

    def _inner(self) -> list[nn.Linear]:
        return [layer for layer in list(self.layers)[1:] if isinstance(layer, nn.Linear)]
