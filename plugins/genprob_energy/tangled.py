"""The general Boltzmann machine: hidden units coupled to the columns and to one another."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from torch import Tensor

from genprob.data.batch import Batch
from genprob.data.schema import Schema, Variable
from genprob.data.support import Binary
from genprob.engine.transition import Kernel
from genprob.errors import UsageError
from genprob.query.batch import QueryBatch
from genprob.query.log_evidence import LogEvidence
from genprob_energy import marginal
from genprob_energy.boltzmann import Coupled


class Tangled(Coupled):
    """A Boltzmann machine over binaries and categories whose hidden units are coupled to one another as well.

    -E(x, h) = u' J u / 2 + b . u over u = (indicators of the columns, hidden units), J zero within a unit. Hidden units
    are columns that no row knows: a chain per row samples them in the positive phase, and evidence sums them out by a
    list where all units together have few states, else by annealing. Its chains draw one unit at a time.

    See also: Ackley, Hinton and Sejnowski 1985; Salakhutdinov and Hinton 2009 (layers of hidden units).

    Arguments:
        hidden: number of hidden units.
        chains: parallel chains that estimate the partition function.
        temperatures: steps of their path.
    """

    inferences: ClassVar[tuple[str, ...]] = ("pcd",)

    def __init__(self, schema: Schema, *, hidden: int = 4, chains: int = 256, temperatures: int = 200) -> None:
        if hidden < 1:
            raise UsageError(f"hidden={hidden}: tangled takes at least one hidden unit; boltzmann goes without")
        name = "hidden"
        while name in schema.names:
            name += "_"
        units = Variable(name, Binary(), dims=("unit",), shape=(hidden,))
        whole = replace(schema, variables=(*schema.modelled, units))
        super().__init__(whole, hidden=0, couplings="all", chains=chains, temperatures=temperatures)
        self.width, self.tangle = schema.width, hidden
        last = len(self.units.binaries)
        self.place = slice(last - hidden, last)  # of the hidden units among the features
        self.incomplete = True
        with torch.no_grad():  # from zero, units that no row knows would never learn
            self.lateral.normal_(0.0, self.units.width**-0.5)

    def _batch(self, batch: Batch) -> Batch:
        """Rows with their hidden units, which are holes; those that have them already as they are."""
        if batch.schema is self.schema:
            return batch
        more = batch.values.new_zeros(len(batch), self.tangle)
        values, observed = torch.cat([batch.values, more], 1), torch.cat([batch.observed, more.bool()], 1)
        return replace(batch, schema=self.schema, values=values, observed=observed)

    def _queries(self, queries: QueryBatch) -> QueryBatch:
        """Queries with the hidden units, of which nothing is known."""
        whole = QueryBatch.empty(self.schema, len(queries))
        for name in ("kind", "a", "b", "asked"):
            getattr(whole, name)[:, : self.width] = getattr(queries, name)
        return replace(whole, sets=queries.sets, likelihoods=queries.likelihoods)

    # --- everything of the columns alone goes through the whole

    def prepare(self, batch: Batch, *, seed: int) -> list[str]:
        return super().prepare(self._batch(batch), seed=seed)

    def points(self, batch: Batch) -> Tensor:
        return super().points(self._batch(batch))

    def completing_kernel(self, batch: Batch) -> Kernel:
        return super().completing_kernel(self._batch(batch))

    def code(self, batch: Batch) -> Tensor:
        """The hidden units' means given complete rows, each with the others at their base rates, `[rows, hidden]`."""
        points, machine = self.points(batch), self.machine()
        points[:, self.width :] = torch.sigmoid(self.base[self.place])
        pull = self.units.features(points) @ machine.lateral[:, self.place]
        return torch.sigmoid(machine.visible[self.place] + pull)

    def rows(self, points: Tensor) -> np.ndarray:
        return super().rows(points)[..., : self.width]

    def model(self, batch: Batch) -> None:
        """The unnormalised joint of known columns and hidden units, carried by `pyro.factor`."""
        fair = dist.Bernoulli(logits=torch.zeros_like(self.base[self.place])).to_event(1)
        with batch.plate():
            hidden = pyro.sample("hidden", fair)
            points = torch.cat([self.points(batch)[:, : self.width], hidden], 1)
            pyro.factor("energy", -self.energy(points) - fair.log_prob(hidden))

    def guide(self, batch: Batch) -> Tensor:
        """Hidden units at their base rates: where chains begin."""
        with batch.plate():
            return pyro.sample("hidden", dist.Bernoulli(logits=self.base[self.place]).to_event(1))

    @torch.no_grad()
    def clamp(self, queries: QueryBatch, chains: int) -> marginal.ClampedChains:
        return super().clamp(self._queries(queries), chains)

    @torch.no_grad()
    def log_evidence(self, queries: QueryBatch) -> LogEvidence:
        return super().log_evidence(self._queries(queries))

    def score_seen(self, batch: Batch, observed: Tensor) -> Tensor:
        whole = self._batch(batch)
        return super().score_seen(whole, torch.cat([observed, whole.observed[:, self.width :]], 1))
