"""The residual energy: what a fitted base law gets wrong, learned by a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from genprob.data.batch import Batch
from genprob.data.schema import Schema
from genprob.engine.transition import Kernel
from genprob.errors import UsageError
from genprob.nets.mlp import mlp
from genprob.query.batch import NOTHING, POINT, QueryBatch
from genprob.query.weighted_rows import WeightedRows
from genprob_energy.added import Added, Differentiated
from genprob_energy.base import NormalMixture
from genprob_energy.coordinates import EnergyPath, HeldProposals
from genprob_energy.energy import DeepEnergy
from genprob_energy.mixed import MixedEnergy

ROWS_A_COMPONENT = 20


def energy(
    schema: Schema,
    *,
    hidden: tuple[int, ...] = (64, 64),
    network: Literal["mlp", "conv"] = "mlp",
    channels: int = 16,
    base: Literal["normal", "gaussian", "mixture"] = "normal",
    components: int = 30,
    spread: float = 2.0,
    chains: int = 256,
    temperatures: int = 100,
) -> DeepEnergy | MixedEnergy:
    """A deep energy: `DeepEnergy` over a wide normal, `ResidualEnergy` over a base that is fitted to the data.

    A table with binaries or categories makes it a `MixedEnergy`, whose base is the wide normal times the labels'
    frequencies.

    Arguments:
        schema: real, positive, interval, binary and categorical variables; of a fitted base, reals only.
        hidden: widths of the network's hidden layers.
        network: `mlp`, or `conv` for images of reals over the wide normal.
        channels: of the first convolution; the next has twice as many.
        base: `normal`, wide and independent; `gaussian` or `mixture`, fitted to the data, of which the network learns
            what they get wrong.
        components: of the mixture, at most one for 20 rows.
        spread: standard deviation of the wide normal, in standard deviations of the data.
        chains: parallel chains that estimate the partition function.
        temperatures: steps of their path.
    """
    if network == "conv" and (base != "normal" or any(v.discrete for v in schema)):
        raise UsageError("network=conv takes reals alone, and base=normal; use mlp")
    if base == "normal" and any(v.discrete for v in schema):
        return MixedEnergy(schema, hidden=hidden, spread=spread, chains=chains, temperatures=temperatures)
    if base == "normal":
        return DeepEnergy(
            schema, hidden=hidden, network=network, channels=channels,
            spread=spread, chains=chains, temperatures=temperatures,
        )  # fmt: skip
    count = 1 if base == "gaussian" else components
    return ResidualEnergy(schema, hidden=hidden, components=count, chains=chains, temperatures=temperatures)


class ResidualEnergy(DeepEnergy):
    """p(x) = base(z) exp(-net(z)) |dz/dx| / Z with a base that was fitted to the data, a mixture of normals.

    `nce` tells rows from draws of the base, and so learns what the base gets wrong; the network begins at 0, which is
    the base itself. The base's conditionals are exact: paths, chains and proposals begin there, and log Z is about 0.

    See also: Gutmann and Hyvarinen 2012 (noise that is like the data); Deng et al. 2020 (residual energies).

    Arguments:
        hidden: widths of the network's hidden layers.
        components: of the base, at most one for 20 rows; 1 for one normal.
        chains: parallel chains that estimate the partition function.
        temperatures: steps of their path.
    """

    inferences: ClassVar[tuple[str, ...]] = ("nce", "replay", "pcd", "dsm")

    def __init__(
        self,
        schema: Schema,
        *,
        hidden: tuple[int, ...] = (64, 64),
        components: int = 30,
        chains: int = 256,
        temperatures: int = 100,
    ) -> None:
        super().__init__(schema, hidden=hidden, chains=chains, temperatures=temperatures)
        if components < 1:
            raise UsageError(f"components={components}: one at least")
        self._resize(components)
        self._inputs = 2 * schema.width + components + 2
        self.net = mlp(self._inputs, hidden, 1)

    @property
    def recipe(self) -> Mapping[str, Mapping[str, Any]]:
        return {"nce": {"lr": 2e-3, "weight_decay": 1e-4}}

    @torch.no_grad()
    def near(self, points: Tensor, seed: int) -> None:
        super().near(points, seed)
        self._resize(max(1, min(self._components, len(points) // ROWS_A_COMPONENT)))
        self.base.fit(points, seed)
        for parameter in cast(nn.Sequential, self.net)[-1].parameters():  # the network begins as nothing
            parameter.zero_()

    def _resize(self, components: int) -> None:
        """A base of so many components, and the wide one."""
        self._components = components
        self.base = NormalMixture(components + 1, self.schema.width).to(self.base.mean.device)

    def structure(self) -> dict[str, Any]:
        return super().structure() | {"components": self._components}

    def build(self, structure: dict[str, Any]) -> None:
        super().build(structure)
        self._resize(structure["components"])

    @property
    def added(self) -> Added:
        """What the network adds, of how a point stands to the base; bounded, so that the law is proper."""
        return Differentiated(self._network)

    def _network(self, points: Tensor) -> Tensor:
        features = self.base.features(points)
        # A base of few rows has fewer components than the network was made for.
        missing = self._inputs - features.shape[-1]
        return self.net(torch.nn.functional.pad(features, (0, missing)))[..., 0]

    def draw_noise(self, count: int) -> Tensor:
        return self.base.draw(count)

    def log_noise(self, points: Tensor) -> Tensor:
        return self.base.log_density(points).to(points.dtype)

    def path(self, known: Tensor, value: Tensor, copies: int) -> EnergyPath:
        return EnergyPath(self.added, self.base, self.base.given(known, value), copies, near=True)

    def walked(self, queries: QueryBatch, chains: int, shares: Sequence[float]) -> tuple[Tensor, Tensor]:
        """As of `DeepEnergy`, without a path: the base is near enough to be weighted at once."""
        known, value, log_jacobian = self.given(queries)
        given = self.base.given(known, value)
        points = given.draw(chains)
        return given.log_density[:, None] + log_jacobian[:, None] - self.added(points).double(), points

    def chain(self, known: Tensor, value: Tensor, warmup: int) -> Kernel:
        return HeldProposals(self.added, self.base.given(known[:, 0], value[:, 0]))

    def completing_kernel(self, batch: Batch) -> Kernel:
        return HeldProposals(self.added, self.base.given(batch.observed, self.points(batch)))

    @torch.no_grad()
    def propose(self, queries: QueryBatch, particles: int) -> WeightedRows:
        """Rows drawn from the base given the points, weighted by the network and by evidence of other kinds."""
        return self.proposed(queries, particles, 0, (queries.kind != POINT) & (queries.kind != NOTHING))
