"""The deep energy of a mixed table: a network over standardised reals and one-hot labels."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from genprob.data.batch import Batch
from genprob.data.schema import Schema
from genprob.engine.kernels.density import LogDensity
from genprob.engine.kernels.replica import ReplicaExchange
from genprob.engine.transition import Kernel
from genprob.metrics.partition import Partition
from genprob.nets.heads import LEAST_SCALE, Heads
from genprob.nets.mlp import mlp
from genprob.query import emission
from genprob.query.batch import NOISY, POINT, QueryBatch
from genprob.query.weighted_rows import WeightedRows
from genprob_energy.added import Perceptron
from genprob_energy.alternating import Alternating, Held
from genprob_energy.annealed import RESERVOIR, AnnealedEnergy, EnergyChains, completed, size_at
from genprob_energy.base import NormalMixture
from genprob_energy.coordinates import TARGET
from genprob_energy.evidence import Evidence, of_queries
from genprob_energy.mixed_law import AnyLaw, IndependentBase, MixedLaw
from genprob_energy.units import Units, encoded, listed_states, visible_states

_LOG_2PI = math.log(2 * math.pi)
MOST_LISTED = 4096
"""States of a table without reals up to which log Z is summed."""


@dataclass(eq=False)
class MixedPath:
    """From the base to the energy's law, under evidence: `genprob.metrics.partition.Path` over points `[R, width]`.

    Arguments:
        law: its end.
        held: what is known of each of the R chains.
    """

    law: MixedLaw
    held: Held
    sizes: list[tuple[float, float]] = field(default_factory=lambda: [(0.0, 0.5)])
    tuning: bool = True

    def start(self) -> Tensor:
        evidence = self.held.evidence
        drive = self.law.units.heads.offset.to(evidence.value.dtype)
        return self.law.units.draw(drive.expand(len(evidence.value), -1), evidence)

    def log_density(self, points: Tensor, share: float) -> Tensor:
        return self.law.at(share)(points).double()

    def step(self, points: Tensor, share: float) -> Tensor:
        size = size_at(self, share)
        kernel = Alternating(self.law.at(share), self.law.units, self.held, size=size)
        new, _, told = kernel.step(points, kernel.init(points))
        if self.tuning and "acceptance" in told:
            self.sizes.append((share, size * float(np.exp(float(told["acceptance"].mean()) - TARGET))))
        return new


class MixedEnergy(AnnealedEnergy):
    """p(x) = base(x) exp(-net(x)) / Z over reals and labels: the network reads encoded reals and one-hot labels.

    The base is a wide normal of the reals times the labels' frequencies, all independent; it keeps the density proper
    wherever the network's tails go, and is where paths begin. Chains move the reals by HMC and draw labels from their
    exact conditionals, in turn. Rounded reals stand at their centres, as in `DeepEnergy`.

    Arguments:
        hidden: widths of the network's hidden layers.
        spread: standard deviation of the normal base, in standard deviations of the data.
        chains: parallel chains that estimate the partition function.
        temperatures: steps of their path.
    """

    inferences: ClassVar[tuple[str, ...]] = ("replay", "nce", "pcd")

    def __init__(
        self,
        schema: Schema,
        *,
        hidden: tuple[int, ...] = (64, 64),
        spread: float = 2.0,
        chains: int = 256,
        temperatures: int = 100,
    ) -> None:
        super().__init__(schema, hidden=hidden, spread=spread, chains=chains, temperatures=temperatures)
        self.heads = heads = Heads(schema)
        self.units = Units(heads, "energy")
        heads.log_scale.data.fill_(math.log(spread - LEAST_SCALE))
        heads.requires_grad_(False)
        self.noise = NormalMixture(1, len(self.units.reals))
        self.net = mlp(self.units.width, hidden, 1)

    @torch.no_grad()
    def prepare(self, batch: Batch, *, seed: int) -> list[str]:
        self.units.heads.fit(batch)
        self.incomplete = not bool(batch.observed.all())
        reals = self.units.reals
        if reals:
            self.noise.surround(completed(self.points(batch)[:, reals], batch.observed[:, reals]))
        return []

    # --- an energy

    @property
    def law_of_points(self) -> MixedLaw:
        """The energy's law."""
        return MixedLaw(Perceptron.of(self.net), self.units, IndependentBase.of(self.units))

    def points(self, batch: Batch) -> Tensor:
        return encoded(self.units.heads, batch.values).float()

    def energy(self, points: Tensor) -> Tensor:
        """Nats, `[..., schema.width] -> [...]`; the base is normalised."""
        return -self.law_of_points(points)

    def guesses(self, count: int) -> Tensor:
        return self.draw_noise(count)

    def markov_kernel(self) -> Kernel:
        return Alternating(self.law_of_points, self.units, warmup=10**6, size=0.2)

    def completing_kernel(self, batch: Batch) -> Kernel:
        held = Held.of(self.units, Evidence(batch.observed, self.points(batch)))
        return Alternating(self.law_of_points, self.units, held, size=0.2)

    def tempered_kernel(self, temperatures: int) -> Kernel:
        """The same chains at `temperatures` shares of the network, down to the base alone, where they move freely."""
        law, shares = self.law_of_points, tuple(torch.linspace(1, 0, temperatures).tolist())
        return ReplicaExchange(law, self._alternating, shares, law.at(0.0))

    def _alternating(self, log_density: LogDensity) -> Kernel:
        return Alternating(AnyLaw(log_density, self.units), self.units)

    # --- noise contrast

    def draw_noise(self, count: int) -> Tensor:
        """Labels at their frequencies, reals near the data's normal law, `[count, schema.width]`."""
        points = self.units.draw(self.units.heads.offset.float().expand(count, -1))
        if self.units.reals:
            points[:, self.units.reals] = self.noise.draw(count)
        return points

    def log_noise(self, points: Tensor) -> Tensor:
        law, reals = self.law_of_points, self.units.reals
        out = law.base.log_density(self.units.features(points)).double()
        if reals:
            out = out - self._log_base_reals(points).sum(-1) + self.noise.log_density(points[..., reals])
        return out.to(points.dtype)

    def _log_base_reals(self, points: Tensor) -> Tensor:
        """Of each real, `[..., reals]` float64."""
        scale = self.units.heads.scale()
        unit = (points[..., self.units.reals].double() - self.units.heads.offset[: len(scale)]) / scale
        return -0.5 * (unit.square() + _LOG_2PI) - scale.log()

    # --- the partition function

    def _listed(self) -> Tensor | None:
        """All points, None where they are no list or too long a one."""
        states = visible_states(self.schema)
        if states is None or states > MOST_LISTED:
            return None
        return listed_states(self.schema, torch.float32).to(self.units.heads.offset.device)

    def estimate_partition(self) -> Partition:
        listed = self._listed()
        if listed is None:
            return super().estimate_partition()
        log_mass = -self.energy(listed).double()
        share = torch.softmax(log_mass, 0)
        self.stored.fill(listed[torch.multinomial(share, RESERVOIR, replacement=True)])
        return Partition.exact(float(torch.logsumexp(log_mass, 0)))

    @torch.no_grad()
    def draw(self, draws: int) -> np.ndarray:
        listed = self._listed()
        if listed is None:
            return super().draw(draws)
        share = torch.softmax(-self.energy(listed).double(), 0)
        return self.rows(listed[torch.multinomial(share, draws, replacement=True)])

    # --- paths

    def free_path(self, copies: int) -> MixedPath:
        nothing = torch.zeros(copies, self.schema.width, device=self.units.heads.offset.device)
        return MixedPath(self.law_of_points, Held.of(self.units, Evidence(nothing.bool(), nothing)))

    def path_of(self, queries: QueryBatch, chains: int) -> tuple[MixedPath, Tensor]:
        """As of `AnnealedEnergy`; readings of reals are no part of it."""
        evidence, log_first = self.given(queries)
        return MixedPath(self.law_of_points, Held.of(self.units, evidence.repeat(chains))), log_first

    def given(self, queries: QueryBatch) -> tuple[Evidence, Tensor]:
        """The evidence without readings of reals, and its log-probability under the base, `[Q]`.

        A given real counts by its density in data units, times the width of its cell where it is rounded.
        """
        encoder, reals = self.units.heads.encoder, self.units.reals
        device, queries = self.units.heads.offset.device, queries.only(queries.kind != NOISY)
        real = np.isin(np.arange(queries.schema.width), reals)
        others = queries.only((queries.kind != POINT) | ~real)
        evidence = of_queries(self.units.heads, others, torch.float32, device)
        start = self.units.heads.offset.expand(len(queries), 1, -1)
        log_mass = emission.log_mass(self.units.heads, start, others)[:, 0]
        if not reals:
            return evidence, log_mass
        known = torch.as_tensor((queries.kind == POINT) & real, device=device)
        a = torch.as_tensor(np.nan_to_num(queries.a[:, reals]), device=device)
        x = encoder.inside(torch.where(known[:, reals], a, self.units.heads.centre()))
        value = evidence.value.clone()
        value[:, reals] = encoder.encode(x).clamp(-1e3, 1e3).float()
        each = self._log_base_reals(value) + encoder.log_slope(x)
        log_mass = log_mass + torch.where(known[:, reals], each, 0.0).sum(-1)
        return replace(evidence, fixed=evidence.fixed | known, value=value), log_mass

    # --- scoring and queries

    def rows(self, points: Tensor) -> np.ndarray:
        return self.units.rows(points)

    def log_joint(self, values: Tensor) -> Tensor:
        out = -self.energy(encoded(self.units.heads, values).float()).double()
        if not self.units.reals:
            return out
        encoder = self.units.heads.encoder
        return out + encoder.log_slope(encoder.inside(values[..., self.units.reals].double())).sum(-1)

    def unclampable(self, queries: QueryBatch) -> list[str]:
        read = (queries.kind == NOISY).any(1)
        return ["the chains of a mixed energy are not held to readings of reals" if r else "" for r in read]

    @torch.no_grad()
    def clamp(self, queries: QueryBatch, chains: int) -> EnergyChains:
        self.partition()
        law, evidence = self.law_of_points, self.given(queries)[0].repeat(chains)
        held = Held.of(self.units, evidence)

        def hold(points: Tensor) -> Tensor:
            return evidence.hold(points.flatten(0, 1), self.units.reals).reshape(points.shape)

        def kernel(warmup: int) -> Kernel:
            return Alternating(law, self.units, held, warmup=warmup)

        return EnergyChains(self, queries, chains, hold, kernel)

    @torch.no_grad()
    def propose(self, queries: QueryBatch, particles: int) -> WeightedRows:
        """Rows annealed under the evidence, weighted by how they got there; readings of reals weigh them at last."""
        return self.proposed(queries, particles, self.temperatures, queries.kind == NOISY)
