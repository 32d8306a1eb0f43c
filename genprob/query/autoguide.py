"""A guide for programs that have none: a network that says where each row's latents lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import ComposeTransform, biject_to

from genprob.data.batch import Batch
from genprob.data.schema import Schema
from genprob.engine.sites import Site
from genprob.errors import PluginError
from genprob.nets.mlp import mlp
from genprob.query.batch import QueryBatch
from genprob.query.programs import LatentProgram

_LEAST, _MOST = -7.0, 3.0
"""Bounds of the guide's log standard deviations."""


class AutoGuided(LatentProgram):
    """A program that brings a model alone; its guide is made.

    The guide is independent normals over every latent of a row, bounds taken away (Kucukelbir et al. 2017, Automatic
    differentiation variational inference), whose means and standard deviations a network reads off the row's known
    cells, so that one guide serves every row and mask. Queries correct it like any other. For latents inside
    `batch.plate()`; what all rows share is a parameter of the module, or drawn by the inferences `nuts` and `hmc`.
    Raises `PluginError` for a latent that is discrete.

    Arguments:
        schema: the modelled variables.
        hidden: sizes of the network's hidden layers; none make it linear.
    """

    def __init__(self, schema: Schema, *, hidden: Sequence[int] = (32,)) -> None:
        super().__init__(schema)
        self._hidden = tuple(hidden)
        self._sites_guided: list[Site] = []
        self._emission()  # a model that never asks for its width emits as well

    def prepare(self, batch: Batch, *, seed: int) -> list[str]:
        notes = super().prepare(batch, seed=seed)
        self._make_guide()
        return notes

    def build(self, structure: dict[str, Any]) -> None:
        super().build(structure)
        self._make_guide()

    def _make_guide(self) -> None:
        with torch.no_grad():
            found = self._laws(QueryBatch.empty(self.schema, 1))
        for name, (law, _) in found.items():
            if law.support.is_discrete:
                raise PluginError(
                    f"{type(self).__name__}: latent {name!r} is discrete, and no guide can be made for it; write one, "
                    "with the site marked for enumeration"
                )
        self._sites_guided = [Site.of(name, law, value) for name, (law, value) in found.items()]
        width = sum(site.width for site in self._sites_guided)
        self.guide_network = mlp(self.feature_width, self._hidden, 2 * width).to(self._emitting().offset.device)

    def guide(self, batch: Batch) -> None:
        """q(latents | known cells)."""
        told = self.guide_network(self.features(batch.distinct)).repeat_interleave(batch.copies, 0)
        loc, log_scale = told.chunk(2, -1)
        scale = log_scale.clamp(_LEAST, _MOST).exp()
        widths = [site.width for site in self._sites_guided]
        with batch.plate():
            for site, *part in zip(self._sites_guided, loc.split(widths, -1), scale.split(widths, -1), strict=True):
                pyro.sample(site.name, _law(site, *part))


def _law(site: Site, loc: Tensor, scale: Tensor) -> Any:
    """Normals of the site's free numbers `[rows, width]`, brought to where the site lives."""
    free = loc.shape[:1] + site.free
    normal = dist.Normal(loc.reshape(free).to(site.dtype), scale.reshape(free).to(site.dtype)).to_event(len(site.free))
    bijection = biject_to(site.support)
    return normal if _identity(bijection) else dist.TransformedDistribution(normal, [bijection])


def _identity(transform: Any) -> bool:
    while hasattr(transform, "base_transform"):  # which says that some dims are an event
        transform = transform.base_transform
    return isinstance(transform, ComposeTransform) and not transform.parts
