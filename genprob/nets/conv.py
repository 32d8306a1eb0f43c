"""Convolutional networks over the variables of a row that are images; what is no image joins them as a vector."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from genprob.data.schema import Variable
from genprob.nets.heads import Heads
from genprob.nets.mlp import mlp


def _planes(variable: Variable) -> tuple[int, int, int]:
    """Channels, height and width of an image."""
    height, width = variable.shape[-2:]
    return (variable.shape[0] if len(variable.shape) == 3 else 1), height, width


class ConvEncoder(nn.Module):
    """What heads show of a row, `[rows, feature_width] -> [rows, outputs]`: two strided convolutions per image.

    An image comes with its flags of what is known as further channels.

    Arguments:
        heads: whose features it takes.
        hidden: sizes of the layers after the convolutions.
        outputs: numbers per row.
        channels: of the first convolution; the second has twice as many.
    """

    def __init__(self, heads: Heads, hidden: Sequence[int], outputs: int, channels: int) -> None:
        super().__init__()
        self.images = [v for v in heads.schema if len(v.shape) in (2, 3)]
        self.columns = [(heads.shown(v.name), heads.flags(v.name)) for v in self.images]
        taken = {c for pair in self.columns for part in pair for c in part}
        self.rest = [c for c in range(heads.feature_width) if c not in taken]
        self.convolutions = nn.ModuleList()
        width = len(self.rest)
        for variable, (shown, flags) in zip(self.images, self.columns, strict=True):
            _, h, w = _planes(variable)
            inputs = (len(shown) + len(flags)) // (h * w)
            stack = nn.Sequential(
                nn.Conv2d(inputs, channels, 3, 2, 1), nn.SiLU(), nn.Conv2d(channels, 2 * channels, 3, 2, 1), nn.SiLU()
            )
            self.convolutions.append(stack)
            width += 2 * channels * -(-h // 4) * -(-w // 4)
        self.head = mlp(width, hidden, outputs)

    def forward(self, features: Tensor) -> Tensor:
        parts = [features[:, self.rest]]
        for variable, (shown, flags), stack in zip(self.images, self.columns, self.convolutions, strict=True):
            _, h, w = _planes(variable)
            planes = [features[:, part].reshape(len(features), -1, h, w) for part in (shown, flags)]
            parts.append(stack(torch.cat(planes, 1)).flatten(1))
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
        self.images = [v for v in heads.schema if len(v.shape) in (2, 3)]
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
