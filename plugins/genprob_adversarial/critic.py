"""Critics with convolutions over the images of a soft point."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from genprob.nets.heads import Heads
from genprob.nets.mlp import mlp


class ConvCritic(nn.Module):
    """Packs of soft points to scores, `[n, pack * (planes * heads.width + cause)] -> [n, 1]`.

    Two strided convolutions per image; the images of a pack are channels of one.

    Arguments:
        heads: whose soft points they are.
        hidden: sizes of the layers after the convolutions.
        channels: of the first convolution; the second has twice as many.
        planes: 2 where points are followed by which of their numbers are known, else 1.
        cause: numbers of a code that follow the point.
        pack: points in a pack, one after the other.
    """

    def __init__(
        self, heads: Heads, hidden: Sequence[int], channels: int, planes: int, cause: int, pack: int = 1
    ) -> None:
        super().__init__()
        self.images = [v for v in heads.schema if len(v.shape) in (2, 3)]
        whole = planes * heads.width + cause
        starts = [each * whole + plane * heads.width for each in range(pack) for plane in range(planes)]
        self.columns = [[start + c for start in starts for c in heads.taken(v.name)] for v in self.images]
        taken = {c for columns in self.columns for c in columns}
        self.rest = [c for c in range(pack * whole) if c not in taken]
        self.convolutions = nn.ModuleList()
        width = len(self.rest)
        for variable, columns in zip(self.images, self.columns, strict=True):
            h, w = variable.shape[-2:]
            stack = nn.Sequential(
                nn.Conv2d(len(columns) // (h * w), channels, 3, 2, 1),
                nn.SiLU(),
                nn.Conv2d(channels, 2 * channels, 3, 2, 1),
                nn.SiLU(),
            )
            self.convolutions.append(stack)
            width += 2 * channels * -(-h // 4) * -(-w // 4)
        self.head = mlp(width, hidden, 1)

    def forward(self, points: Tensor) -> Tensor:
        parts = [points[:, self.rest]]
        for variable, columns, stack in zip(self.images, self.columns, self.convolutions, strict=True):
            h, w = variable.shape[-2:]
            parts.append(stack(points[:, columns].reshape(len(points), -1, h, w)).flatten(1))
        return self.head(torch.cat(parts, 1))
