"""Multilayer perceptrons."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn


def mlp(
    inputs: int, hidden: Sequence[int], outputs: int, activation: Callable[[], nn.Module] = nn.SiLU
) -> nn.Sequential:
    """Linear layers with an activation between them, `[..., inputs] -> [..., outputs]`; linear if `hidden` is empty.

    >>> mlp(3, (8, 8), 2)[0].in_features
    3
    """
    layers: list[nn.Module] = []
    for size in hidden:
        layers += [nn.Linear(inputs, size), activation()]
        inputs = size
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))
