"""A residual trunk: what a wide table's features go through before the heads."""

from __future__ import annotations

from torch import Tensor, nn


class ResidualTrunk(nn.Module):
    """A linear map, then blocks that add to it, then a normalised activation.

    Every block is layer norm, linear, SiLU, dropout and a linear map that starts at zero, so that the trunk starts as
    its first layer (He et al. 2016, Identity mappings in deep residual networks).

    Shapes: `[..., width] -> [..., hidden]`.

    Arguments:
        width: number of features.
        hidden: width of the trunk.
        blocks: number of residual blocks.
        dropout: share of activations dropped in training.

    >>> import torch
    >>> ResidualTrunk(3, hidden=8, blocks=2)(torch.zeros(5, 3)).shape
    torch.Size([5, 8])
    """

    def __init__(self, width: int, *, hidden: int = 256, blocks: int = 3, dropout: float = 0.1) -> None:
        super().__init__()
        self.first = nn.Linear(width, hidden)
        self.blocks = nn.ModuleList([_block(hidden, dropout) for _ in range(blocks)])
        self.last = nn.Sequential(nn.LayerNorm(hidden), nn.SiLU())

    def forward(self, features: Tensor) -> Tensor:
        h = self.first(features)
        for block in self.blocks:
            h = h + block(h)
        return self.last(h)


def _block(hidden: int, dropout: float) -> nn.Sequential:
    last = nn.Linear(hidden, hidden)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, hidden), nn.SiLU(), nn.Dropout(dropout), last)
