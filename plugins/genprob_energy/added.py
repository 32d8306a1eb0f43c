"""What a network adds to a base's energy: its value and its slope."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, silu

from genprob.engine.kernels.density import differentiated
from genprob.errors import PluginError


class Added(Protocol):
    """Nats that are added to the energy of points `[..., d]`."""

    def __call__(self, points: Tensor) -> Tensor:
        """`[...]`."""
        ...

    def slope(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """They, and their gradient `[..., d]`."""
        ...


@dataclass(frozen=True, eq=False)
class Perceptron:
    """The one output of linear layers and SiLU, written out: a third of what autograd takes.

    Attributes:
        layers: weight and bias of each linear layer, None for SiLU.
    """

    layers: tuple[tuple[Tensor, Tensor | None] | None, ...]

    @classmethod
    def of(cls, net: Iterable[nn.Module]) -> Perceptron:
        """That of a network. Raises `PluginError` for other layers."""
        layers: list[tuple[Tensor, Tensor | None] | None] = []
        for layer in net:
            if not isinstance(layer, nn.Linear | nn.SiLU):
                raise PluginError(f"an energy's network is of linear layers and SiLU, not {type(layer).__name__}")
            layers.append((layer.weight, layer.bias) if isinstance(layer, nn.Linear) else None)
        return cls(tuple(layers))

    def __call__(self, points: Tensor) -> Tensor:
        at = points
        for layer in self.layers:
            at = silu(at) if layer is None else linear(at, *layer)
        return at[..., 0]

    def slope(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """The output `[...]` and its gradient `[..., d]`."""
        at, seen = points, []
        for layer in self.layers:
            seen.append(at)
            at = silu(at) if layer is None else linear(at, *layer)
        gradient = torch.ones_like(at)
        for layer, before in zip(reversed(self.layers), reversed(seen), strict=True):
            gradient = torch.ops.aten.silu_backward(gradient, before) if layer is None else gradient @ layer[0]
        return at[..., 0], gradient


@dataclass(frozen=True, eq=False)
class Differentiated:
    """Any network's one output, its slope by autograd.

    Arguments:
        network: `[..., d] -> [...]`.
    """

    network: Callable[[Tensor], Tensor]

    def __call__(self, points: Tensor) -> Tensor:
        return self.network(points)

    def slope(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """The output `[...]` and its gradient `[..., d]`."""
        return differentiated(self.network)(points)
