"""The latents of a Pyro program, one row of numbers each: the path from their prior to their law given evidence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from pyro.poutine import Trace
from torch import Tensor

from genprob.engine.sites import Site

LatentProgramScores = Callable[[dict[str, Tensor], int], tuple[Tensor, Tensor]]
"""Values of all latent sites for `rows` rows -> log p(latents) and log p(evidence | latents), `[rows]` each."""


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


def laws(trace: Trace, names: list[str]) -> dict[str, tuple[Any, Tensor]]:
    """Each named site's law and value."""
    nodes: dict[str, Any] = dict(trace.nodes)
    return {name: (nodes[name]["fn"], nodes[name]["value"]) for name in names}
