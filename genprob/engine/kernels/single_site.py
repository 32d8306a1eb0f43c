"""Gibbs sampling of categories, a site or a colour of sites at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from genprob.engine.kernels.density import LogDensity, checked
from genprob.engine.kernels.gibbs import categorical
from genprob.engine.move import Metrics
from genprob.engine.state import Memory

Conditional = Callable[[Tensor, Tensor], Tensor]
"""`(position [..., chains, sites], asked [m]) -> [..., chains, m, categories]`: log p(site | all others) + constant."""


@dataclass(frozen=True)
class SingleSiteGibbs:
    """Draws each site of `[..., chains, sites]` given all others (Geman and Geman 1984); categories are 0, 1, ...

    A step visits as many groups of sites as there are: in order, or drawn anew each time (all chains visit the same).
    Metrics: `moved`, the share of sites that changed, per chain.

    Arguments:
        conditional: log-probabilities of the categories of the sites asked, `[..., chains, asked, categories]`, up to
            a constant per site.
        groups: sites that are independent given all others, drawn at once, such as the colours of a lattice.
        scan: `systematic` or `random` order; only the random one is reversible.
    """

    conditional: Conditional
    groups: tuple[Tensor, ...]
    scan: Literal["systematic", "random"] = "systematic"

    adjusted: ClassVar[bool] = True

    def init(self, position: Tensor) -> Memory:
        return {}

    def step(self, position: Tensor, memory: Memory) -> tuple[Tensor, Memory, Metrics]:
        count = len(self.groups)
        order = range(count) if self.scan == "systematic" else torch.randint(count, (count,)).tolist()
        new = position.clone()
        for group in order:
            sites = self.groups[group]
            new[..., sites] = categorical(self.conditional(new, sites)).to(new.dtype)
        return new, memory, {"moved": (new != position).to(torch.get_default_dtype()).mean(-1)}


def enumerated(log_density: LogDensity, categories: int) -> Conditional:
    """The conditional of one site at a time, by asking the log-density for each category in one batch.

    A group of several sites is right too, if they are independent given the others.
    """

    def conditional(position: Tensor, sites: Tensor) -> Tensor:
        *lead, chains, width = position.shape
        count = len(sites)
        tried = position[..., None, None, :].expand(*lead, chains, count, categories, width).clone()
        values = torch.arange(categories, dtype=position.dtype, device=position.device)
        tried[..., torch.arange(count), :, sites] = values.expand(count, *lead, chains, categories)
        flat = tried.reshape(*lead, chains * count * categories, width)
        return checked(log_density(flat), flat).reshape(*lead, chains, count, categories)

    return conditional


def coloured(neighbours: Tensor) -> tuple[Tensor, ...]:
    """Groups of sites without neighbours among them, by greedy colouring, most connected first (Welsh and Powell 1967).

    Arguments:
        neighbours: `[sites, sites]`, nonzero where two sites are coupled.

    >>> ring = torch.eye(4).roll(1, 0) + torch.eye(4).roll(-1, 0)
    >>> [group.tolist() for group in coloured(ring)]
    [[0, 2], [1, 3]]
    """
    coupled = (neighbours != 0) | (neighbours != 0).T
    coupled.fill_diagonal_(False)
    left = coupled.sum(1).argsort(descending=True, stable=True).tolist()
    groups: list[Sequence[int]] = []
    while left:
        group: list[int] = []
        for site in left:
            if not bool(coupled[site, group].any()):
                group.append(site)
        groups.append(sorted(group))
        left = [site for site in left if site not in group]
    return tuple(torch.tensor(group, device=neighbours.device) for group in groups)
