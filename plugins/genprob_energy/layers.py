"""Two layers: what Boltzmann machines share, whatever couples their visible units."""

from __future__ import annotations

import math

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from genprob.data.batch import Batch
from genprob.data.schema import Schema
from genprob.engine.transition import Kernel
from genprob.errors import UsageError
from genprob.metrics.partition import Partition, estimate, shares_of
from genprob.nets.heads import Heads
from genprob.query.batch import QueryBatch
from genprob.query.likelihood import log_ceiling, log_likelihood
from genprob.query.log_evidence import LogEvidence
from genprob_energy import evidence, marginal
from genprob_energy.frequencies import apart
from genprob_energy.machine import BlockGibbs, Machine, MachinePath, TemperedGibbs
from genprob_energy.partitioned import Partitioned
from genprob_energy.stored import Stored
from genprob_energy.units import Units, listed_states, visible_states

MOST_ENUMERATED = 20
"""Binary units on one side up to which the partition function is summed."""
MOST_LISTED = 4096
"""Visible states up to which evidence is summed over all of them."""
RESERVOIR = 512
"""Draws of the joint that are kept with the model for chains to begin at."""
_SETTLE = 20


class Layers(Partitioned):
    """An energy of visible units by support and binary hidden units, which are summed out in closed form.

    A subclass says what couples them: `machine`.

    Arguments:
        hidden: number of hidden units.
        chains: parallel chains that estimate the partition function.
        temperatures: steps of their path.
    """

    offset: Tensor
    centre: Tensor
    base: Tensor

    def __init__(self, schema: Schema, *, hidden: int, chains: int, temperatures: int) -> None:
        super().__init__(schema)
        if min(chains, temperatures) < 1 or hidden < 0:
            raise UsageError(f"hidden={hidden}, chains={chains}, temperatures={temperatures}: too few")
        self.heads = heads = Heads(schema)
        self.units = Units(heads, type(self).__name__.lower())
        self.chains, self.temperatures = chains, temperatures
        # Large reals lose digits in single precision; binaries and codes have none to lose.
        self.precision = torch.float64 if heads.reals else torch.float32
        features = self.units.width
        self.weight = nn.Parameter(torch.randn(features, hidden, dtype=self.precision) * 0.01)
        self.visible = nn.Parameter(torch.zeros(features, dtype=self.precision))
        self.hidden = nn.Parameter(torch.zeros(hidden, dtype=self.precision))
        self.register_buffer("offset", torch.zeros(features, dtype=self.precision))
        self.register_buffer("centre", torch.full((hidden,), 0.5, dtype=self.precision))
        self.register_buffer("base", torch.zeros(features, dtype=self.precision))
        self.incomplete = any(v.cell is not None for v in schema)
        self.stored = Stored(min(RESERVOIR, 2 * chains), schema.width, temperatures, self.precision)

    # --- what the data decide

    @torch.no_grad()
    def prepare(self, batch: Batch, *, seed: int) -> list[str]:
        """Sets encoders, and the biases and offsets to the marginals of the rows; no hidden unit says anything yet."""
        self.units.heads.fit(batch)
        self.incomplete = self.incomplete or not bool(batch.observed.all())
        self.base.copy_(self.units.heads.offset)
        self.visible.copy_(self.base)
        self.offset.copy_(self._mean_features())
        return []

    def _mean_features(self) -> Tensor:
        """The features' means under independent units at the base rates."""
        n, b = len(self.units.reals), len(self.units.binaries)
        parts = [self.base[:n], torch.sigmoid(self.base[n : n + b])]
        sizes = list(self.units.levels.values())
        parts += [torch.softmax(part, -1) for part in self.base[n + b :].split(sizes)] if sizes else []
        return torch.cat(parts)

    # --- an energy

    def machine(self) -> Machine:
        """The couplings without offsets; differentiable in the parameters."""
        raise NotImplementedError

    def points(self, batch: Batch) -> Tensor:
        return self.units.points(batch, self.precision)

    def energy(self, points: Tensor) -> Tensor:
        """The free energy -log sum_h exp(-E(x, h)), `[n, schema.width] -> [n]`, without the offsets' constant."""
        return self.machine().free_energy(points)

    def markov_kernel(self) -> Kernel:
        return BlockGibbs(self.machine())

    def tempered_kernel(self, temperatures: int) -> Kernel:
        return TemperedGibbs(self.machine(), tuple(torch.linspace(1, 0, temperatures).tolist()))

    def completing_kernel(self, batch: Batch) -> Kernel:
        return BlockGibbs(self.machine(), evidence.of_rows(self.units.heads, batch, self.points(batch)))

    def guesses(self, count: int) -> Tensor:
        return self.units.draw(self.base.expand(count, -1))

    @torch.no_grad()
    def recentre(self, points: Tensor) -> dict[str, Tensor]:
        """Moves the hidden offsets a little towards the units' mean activity, the law unchanged."""
        activity = torch.sigmoid(self.machine().up(points)).mean(0)
        centre = torch.lerp(self.centre, activity, 0.1)
        return {"centre": centre, "visible": self.visible + self.weight @ (centre - self.centre)}

    def code(self, batch: Batch) -> Tensor:
        """The hidden units' means given complete rows, `[rows, hidden]`."""
        return torch.sigmoid(self.machine().up(self.points(batch)))

    @torch.no_grad()
    def uncentre(self) -> dict[str, Tensor]:
        """Offsets of 0, the law unchanged: biases then are those of the units themselves."""
        machine = self.machine()
        offset, centre = torch.zeros_like(self.offset), torch.zeros_like(self.centre)
        return {"offset": offset, "centre": centre, "visible": machine.visible, "hidden": machine.hidden}

    # --- a Pyro program

    def model(self, batch: Batch) -> None:
        """The unnormalised joint of known columns and hidden units, carried by `pyro.factor`."""
        with batch.plate():
            hidden = pyro.sample("hidden", self._fair())
            machine, points = self.machine(), self.points(batch)
            features, drive = self.units.features(points), machine.down(hidden)
            stretch = self.units.stretch(features.dtype)
            natural = drive if stretch is None else drive * stretch
            energy = -(natural * features).sum(-1) - self.units.log_base(points) - hidden @ machine.hidden
            pyro.factor("energy", -energy - self._fair().log_prob(hidden))

    def guide(self, batch: Batch) -> Tensor:
        """Hidden units given the columns, those that are not known at their base rates: where chains begin."""
        points = torch.where(batch.observed, self.points(batch), self.guesses(len(batch)))
        with batch.plate():
            return pyro.sample("hidden", dist.Bernoulli(logits=self.machine().up(points)).to_event(1))

    def _fair(self) -> dist.TorchDistribution:
        return dist.Bernoulli(logits=torch.zeros_like(self.hidden)).to_event(1)

    # --- the partition function

    def estimate_partition(self) -> Partition:
        exact, path = self.summed(), self.path(self.chains)
        shares = shares_of(path, self.temperatures)
        self.stored.shares.copy_(torch.tensor(shares, dtype=torch.float64))
        points = self.exact_draws(len(self.stored.reservoir))
        if exact is not None and points is not None:
            self.stored.fill(points)
            return exact
        found, points = estimate(path, float(path.log_first), shares, settle=_SETTLE)
        more = [points]
        while sum(map(len, more)) < len(self.stored.reservoir):
            for _ in range(_SETTLE):
                points = path.step(points, 1.0)
            more.append(points)
        self.stored.fill(torch.cat(more))
        return found if exact is None else exact

    def remarks(self, batch: Batch) -> list[str]:
        """The partition function, and the column whose frequencies the fitted law misses most, if it does."""
        said = apart(self.stored.reservoir, batch) if self.stored.known else ""
        return [*super().remarks(batch), *([said] if said else [])]

    def summed(self) -> Partition | None:
        """The partition function by enumeration of the visible states, None where they are too many."""
        states = visible_states(self.schema)
        if states is not None and states <= 2**MOST_ENUMERATED:
            return Partition.exact(self.machine().log_partition_by_visible(self._states()))
        return None

    def exact_draws(self, draws: int) -> Tensor | None:
        """Independent points of the joint, None where its states are too many to list."""
        states = visible_states(self.schema)
        if states is None or states > MOST_LISTED:
            return None
        listed = self._states()
        share = torch.softmax(-self.machine().free_energy(listed).double(), 0)
        return listed[torch.multinomial(share, draws, replacement=True)]

    def summed_evidence(self, queries: QueryBatch) -> np.ndarray | None:
        """log p(evidence) of queries by a sum over all states, None where they are too many."""
        states = visible_states(self.schema)
        if states is None or states > MOST_LISTED:
            return None
        listed = self._states()
        log_mass = -self.machine().free_energy(listed).double().cpu().numpy() - self.partition().value
        rows = listed.double().cpu().numpy()
        told = [log_likelihood(queries, q, rows) + log_ceiling(queries, q) for q in range(len(queries))]
        return np.array([np.logaddexp.reduce(log_mass + one) for one in told])

    def _states(self) -> Tensor:
        return listed_states(self.schema, self.precision).to(self.weight.device)

    def path(self, chains: int) -> MachinePath:
        """The temperature path from independent units at the base rates."""
        machine = self.machine()
        first = self.units.draw(self.base.expand(chains, -1))
        log_first = self.units.log_normaliser(self.base.double()) + len(self.hidden) * math.log(2)
        return MachinePath(machine, first, log_first)

    # --- sampling

    @torch.no_grad()
    def draw(self, draws: int) -> np.ndarray:
        """Rows of the joint: independent where states can be listed, else long chains from kept draws."""
        exact = self.exact_draws(draws)
        if exact is not None:
            return self.rows(exact)
        self.partition()
        points = self.stored.draw(draws)
        kernel = self.markov_kernel()
        for _ in range(_SETTLE):
            points = kernel.step(points, {})[0]
        return self.rows(points)

    def rows(self, points: Tensor) -> np.ndarray:
        """Points as rows in data units."""
        return self.units.rows(points)

    # --- queries

    def unclampable(self, queries: QueryBatch) -> list[str]:
        return [""] * len(queries)

    @torch.no_grad()
    def clamp(self, queries: QueryBatch, chains: int) -> marginal.ClampedChains:
        self.partition()
        return marginal.ClampedChains(self, queries, chains)

    @torch.no_grad()
    def log_evidence(self, queries: QueryBatch) -> LogEvidence:
        return marginal.log_evidence(self, queries)

    def score_seen(self, batch: Batch, observed: Tensor) -> Tensor:
        return marginal.score(self, batch, observed)
