"""The latents of a Pyro program, one row of numbers each: without bounds for chains, listed where they are discrete."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from pyro.distributions import Independent
from pyro.poutine import Trace
from torch import Tensor
from torch.distributions import biject_to

from genprob.errors import PluginError

LatentProgramScores = Callable[[dict[str, Tensor], int], tuple[Tensor, Tensor]]
"""Values of all latent sites for `rows` rows -> log p(latents) and log p(evidence | latents), `[rows]` each."""


@dataclass(frozen=True)
class Site:
    """One latent site as `width` numbers a row.

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
        bijection = biject_to(law.support)
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


class LatentPath:
    """From the prior of a program's latents to prior times p(evidence | latents).

    Arguments:
        sites: the latents.
        prior: draws of every site for so many rows.
        scores: of values of every site.
        queries: how many there are; `scores` is asked with the rows of each query together.
    """

    def __init__(
        self,
        sites: list[Site],
        prior: Callable[[int], dict[str, Tensor]],
        scores: LatentProgramScores,
        queries: int,
    ) -> None:
        self.sites, self.prior, self.log_scores, self.queries = sites, prior, scores, queries

    @property
    def width(self) -> int:
        return sum(site.width for site in self.sites)

    def start(self, particles: int) -> Tensor:
        drawn = self.prior(self.queries * particles)
        parts = [site.encode(drawn[site.name]) for site in self.sites]
        return torch.cat(parts, 1).reshape(self.queries, particles, -1)

    def values(self, points: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Each site's values `[Q * J, *event]` and the sum of log-Jacobians `[Q, J]`."""
        flat = points.reshape(-1, points.shape[-1])
        out, slope = {}, torch.zeros(len(flat), dtype=torch.float64, device=flat.device)
        pieces = flat.split([site.width for site in self.sites], 1)
        for site, piece in zip(self.sites, pieces, strict=True):
            out[site.name], more = site.decode(piece)
            slope = slope + more
        return out, slope.reshape(points.shape[:2])

    def scores(self, points: Tensor) -> tuple[Tensor, Tensor]:
        values, slope = self.values(points)
        log_prior, told = self.log_scores(values, points.shape[1])
        return log_prior.reshape(slope.shape) + slope, told.reshape(slope.shape)


def listed(laws: dict[str, tuple[Any, Tensor]]) -> dict[str, tuple[Tensor, torch.Size]] | None:
    """Site -> the values `[K, *event]` that one cell of it takes, and the shape of its cells; None if any is endless.

    Arguments:
        laws: site -> its law and a value `[rows, *shape]`.
    """
    out = {}
    for name, (law, value) in laws.items():
        base = law
        while isinstance(base, (Independent, torch.distributions.Independent)):
            base = base.base_dist
        if not getattr(base, "has_enumerate_support", False):
            return None
        event = base.event_shape
        values = base.enumerate_support(expand=False)
        values = values.reshape(values.shape[0], *event)
        out[name] = values, value.shape[1 : value.ndim - len(event)]
    return out


def product(lists: dict[str, tuple[Tensor, torch.Size]], states: int) -> dict[str, Tensor]:
    """Every joint state of the latents: site -> `[states, *shape]`."""
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


def laws(trace: Trace, names: list[str]) -> dict[str, tuple[Any, Tensor]]:
    """Each named site's law and value."""
    nodes: dict[str, Any] = dict(trace.nodes)
    if not names:
        raise PluginError("the program has no latent site")
    return {name: (nodes[name]["fn"], nodes[name]["value"]) for name in names}
