"""Sample sites of a Pyro program: as numbers without bounds where they are continuous, listed where they are not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from pyro.distributions import Independent, MaskedDistribution
from torch import Tensor
from torch.distributions import biject_to

from genprob.errors import PluginError


@dataclass(frozen=True)
class Site:
    """One continuous site as `width` numbers a row.

    Attributes:
        name: of the site.
        shape: of its value without the rows.
        dtype: that the program draws it in.
        support: its constraint.
        free: shape without bounds.
    """

    name: str
    shape: torch.Size
    dtype: torch.dtype
    support: Any
    free: torch.Size

    @classmethod
    def of(cls, name: str, law: Any, value: Tensor) -> Site:
        """The site of this law, with a value `[rows, *shape]` of it.

        Raises `PluginError` where nothing without bounds maps onto its support.
        """
        try:
            bijection = biject_to(law.support)
        except NotImplementedError:
            raise PluginError(f"site {name!r}: no coordinates without bounds for its support {law.support}") from None
        return cls(name, value.shape[1:], value.dtype, law.support, bijection.inv(value).shape[1:])

    @property
    def width(self) -> int:
        return math.prod(self.free)

    def encode(self, value: Tensor) -> Tensor:
        """`[rows, width]` without bounds."""
        return biject_to(self.support).inv(value.double()).reshape(len(value), -1)

    def decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The site's value and log |d value / d z|, `[rows]`."""
        bijection = biject_to(self.support)
        free = z.reshape(len(z), *self.free)
        value = bijection(free)
        slope = bijection.log_abs_det_jacobian(free, value)
        return value.to(self.dtype), slope.reshape(len(z), -1).sum(1).expand(len(z))


def listed(laws: dict[str, tuple[Any, Tensor]]) -> dict[str, tuple[Tensor, torch.Size]] | None:
    """Site -> the values `[K, *event]` that one cell of it takes, and the shape of its cells; None if any is endless.

    Arguments:
        laws: site -> its law and a value `[rows, *shape]`.
    """
    out = {}
    for name, (law, value) in laws.items():
        base = bare(law)
        if not getattr(base, "has_enumerate_support", False):
            return None
        event = base.event_shape
        values = base.enumerate_support(expand=False)
        values = values.reshape(values.shape[0], *event)
        out[name] = values, value.shape[1 : value.ndim - len(event)]
    return out


def product(lists: dict[str, tuple[Tensor, torch.Size]], states: int) -> dict[str, Tensor]:
    """Every joint state of the sites: site -> `[states, *shape]`."""
    out, number, stride = {}, torch.arange(states), 1
    for name, (values, cells) in lists.items():
        count = math.prod(cells)
        digits = []
        for _ in range(count):
            digits.append(number // stride % len(values))
            stride *= len(values)
        index = torch.stack(digits, 1).reshape(states, *cells) if count else torch.zeros(states, 0, dtype=torch.long)
        out[name] = values[index.to(values.device)]
    return out


def states(lists: dict[str, tuple[Tensor, torch.Size]]) -> int:
    """How many joint states there are."""
    return math.prod(len(values) ** math.prod(cells) for values, cells in lists.values())


def bare(law: Any) -> Any:
    """The law without what declares dimensions dependent or masks them."""
    while isinstance(law, (Independent, torch.distributions.Independent, MaskedDistribution)):
        law = law.base_dist
    return law


def masked(law: Any) -> bool:
    """True where some of the law's cells are masked already."""
    while isinstance(law, (Independent, torch.distributions.Independent)):
        law = law.base_dist
    return isinstance(law, MaskedDistribution)
