"""Multilayer perceptrons."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn


def mlp(inputs: int, hidden: Sequence[int], outputs: int) -> nn.Sequential:
    """Linear layers with SiLU between them, `[..., inputs] -> [..., outputs]`; linear where `hidden` is empty.

    >>> mlp(3, (8, 8), 2)[0].in_features
    3
    """
    layers: list[nn.Module] = []
    for size in hidden:
        layers += [nn.Linear(inputs, size), nn.SiLU()]
        inputs = size
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))
