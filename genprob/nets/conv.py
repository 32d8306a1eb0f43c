"""Convolutional networks over the variables of a row that are images; what is no image joins them as a vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from genprob.data.schema import Schema, Variable
from genprob.errors import UsageError
from genprob.nets.heads import Heads
from genprob.nets.mlp import mlp


def images(schema: Schema) -> list[Variable]:
    """The variables with two dims, or channels and two dims. Raises `UsageError` if there are none."""
    found = [v for v in schema if len(v.shape) in (2, 3)]
    if not found:
        raise UsageError("network=conv needs a variable with two dims, or channels and two dims; use mlp")
    return found


def _planes(variable: Variable) -> tuple[int, int, int]:
    """Channels, height and width of an image."""
    height, width = variable.shape[-2:]
    return (variable.shape[0] if len(variable.shape) == 3 else 1), height, width


class ConvEncoder(nn.Module):
    """Rows of numbers, `[rows, width] -> [rows, outputs]`: two strided convolutions per image.

    Arguments:
        columns: image -> where its numbers lie in a row, plane after plane.
        width: numbers of a row.
        hidden: sizes of the layers after the convolutions.
        outputs: numbers per row.
        channels: of the first convolution; the second has twice as many.
    """

    def __init__(
        self, columns: Mapping[Variable, Sequence[int]], width: int, hidden: Sequence[int], outputs: int, channels: int
    ) -> None:
        super().__init__()
        self.images, self.columns = list(columns), [list(of) for of in columns.values()]
        taken = {c for of in self.columns for c in of}
        self.rest = [c for c in range(width) if c not in taken]
        self.convolutions = nn.ModuleList()
        width = len(self.rest)
        for variable, of in zip(self.images, self.columns, strict=True):
            _, h, w = _planes(variable)
            inputs = len(of) // (h * w)
            stack = nn.Sequential(
                nn.Conv2d(inputs, channels, 3, 2, 1), nn.SiLU(), nn.Conv2d(channels, 2 * channels, 3, 2, 1), nn.SiLU()
            )
            self.convolutions.append(stack)
            width += 2 * channels * -(-h // 4) * -(-w // 4)
        self.head = mlp(width, hidden, outputs)

    @classmethod
    def of(cls, heads: Heads, hidden: Sequence[int], outputs: int, channels: int) -> ConvEncoder:
        """Of what heads show of a row; an image comes with its flags of what is known as further channels."""
        columns = {v: [*heads.shown(v.name), *heads.flags(v.name)] for v in images(heads.schema)}
        return cls(columns, heads.feature_width, hidden, outputs, channels)

    def forward(self, rows: Tensor) -> Tensor:
        parts = [rows[:, self.rest]]
        for variable, of, stack in zip(self.images, self.columns, self.convolutions, strict=True):
            _, h, w = _planes(variable)
            parts.append(stack(rows[:, of].reshape(len(rows), -1, h, w)).flatten(1))
        return self.head(torch.cat(parts, 1))


class ConvDecoder(nn.Module):
    """A code to what heads take, `[..., inputs] -> [..., heads.width]`: two transposed convolutions per image.

    Arguments:
        heads: whose parameters it gives.
        hidden: sizes of the encoder's layers; here in reverse.
        inputs: size of the code.
        channels: of the last convolution; the one before has twice as many.
    """

    order: Tensor

    def __init__(self, heads: Heads, hidden: Sequence[int], inputs: int, channels: int) -> None:
        super().__init__()
        self.images = images(heads.schema)
        self.channels, self.width = channels, heads.width
        self.columns = [heads.taken(v.name) for v in self.images]
        taken = {c for columns in self.columns for c in columns}
        self.rest = [c for c in range(heads.width) if c not in taken]
        self.sizes = [(-(-v.shape[-2] // 4), -(-v.shape[-1] // 4)) for v in self.images]
        width = len(self.rest) + sum(2 * channels * h * w for h, w in self.sizes)
        self.body = nn.Sequential(mlp(inputs, tuple(hidden)[::-1], width))
        self.convolutions = nn.ModuleList(
            nn.Sequential(
                nn.SiLU(),
                nn.ConvTranspose2d(2 * channels, channels, 4, 2, 1),
                nn.SiLU(),
                nn.ConvTranspose2d(channels, len(columns) // (v.shape[-2] * v.shape[-1]), 4, 2, 1),
            )
            for v, columns in zip(self.images, self.columns, strict=True)
        )
        order = torch.tensor([*self.rest, *(c for columns in self.columns for c in columns)]).argsort()
        self.register_buffer("order", order)

    def forward(self, code: Tensor) -> Tensor:
        flat = self.body(code.reshape(-1, code.shape[-1]))
        parts, at = [flat[:, : len(self.rest)]], len(self.rest)
        for variable, (h, w), stack in zip(self.images, self.sizes, self.convolutions, strict=True):
            size = 2 * self.channels * h * w
            planes = stack(flat[:, at : at + size].reshape(-1, 2 * self.channels, h, w))
            parts.append(planes[..., : variable.shape[-2], : variable.shape[-1]].flatten(1))
            at += size
        return torch.cat(parts, 1)[:, self.order].reshape(*code.shape[:-1], self.width)
