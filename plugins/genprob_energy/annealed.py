"""What deep energies share, whatever their points are: a partition function, scores and chains by annealing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from genprob.data.batch import Batch
from genprob.data.schema import Schema
from genprob.engine.transition import Kernel
from genprob.errors import UsageError
from genprob.metrics.partition import Partition, Path, anneal, estimate, shares_of
from genprob.nets.heads import LEAST_SCALE
from genprob.query.batch import POINT, QueryBatch
from genprob.query.diagnostics import log_mean_error
from genprob.query.likelihood import log_ceiling, log_likelihood
from genprob.query.log_evidence import LogEvidence
from genprob.query.weighted_rows import WeightedRows
from genprob_energy.partitioned import Unnormalised
from genprob_energy.stored import Stored

RESERVOIR = 512
"""Draws of the joint that are kept with the model for chains to begin at."""
SIZES = ((0.0, 0.5), (1.0, 0.1))
"""Step sizes at both ends of a path that was never tuned."""
ROWS = 50_000
"""Chains that are annealed at once."""
_CHAINS, _TEMPERATURES = 64, 40
_QUICK = (16, 15)


class SizedPath(Path, Protocol):
    """A path whose transitions have a step size at every share, found while `tuning` and fixed afterwards."""

    sizes: list[tuple[float, float]]
    tuning: bool


def size_at(path: SizedPath, share: float) -> float:
    """The step size at a share: while tuning the last one found, afterwards interpolated."""
    if path.tuning:
        return path.sizes[-1][1]
    at, size = zip(*sorted(path.sizes), strict=True)
    return float(np.interp(share, at, size))


def completed(points: Tensor, known: Tensor) -> Tensor:
    """Points `[n, d]` that are known as a whole; all of them, their holes at 0, where that leaves too few."""
    points = torch.where(known, points, 0.0)
    whole = points[known.all(1)]
    return whole if len(whole) >= min(100, len(points)) else points


class AnnealedEnergy(Unnormalised):
    """A deep energy whose log Z, scores and chains come from paths that begin at a normalised base law.

    A subclass says what points are, and how they move: `free_path`, `path_of`, `rows`, `log_joint`.

    Arguments:
        hidden: widths of the network's hidden layers.
        spread: standard deviation of the base, in standard deviations of the data.
        chains: parallel chains that estimate the partition function.
        temperatures: steps of their path.
    """

    def __init__(
        self, schema: Schema, *, hidden: tuple[int, ...], spread: float, chains: int, temperatures: int
    ) -> None:
        super().__init__(schema)
        if min(chains, temperatures, *hidden) < 1 or not spread > LEAST_SCALE:
            raise UsageError(f"hidden={hidden}, spread={spread}, chains={chains}, temperatures={temperatures}: too few")
        self.chains, self.temperatures = chains, temperatures
        self.incomplete = False
        self.stored = Stored(RESERVOIR, schema.width, temperatures, torch.float32)
        self.precision = torch.float64  # of the data; points are standardised
        self._sizes = list(SIZES)

    def free_path(self, copies: int) -> SizedPath:
        """The path of the joint, from the base to the energy's law."""
        raise NotImplementedError

    def path_of(self, queries: QueryBatch, chains: int) -> tuple[SizedPath, Tensor]:
        """The path of the joint under evidence, `chains` of each query, and log of what it begins with, `[Q]`."""
        raise NotImplementedError

    def rows(self, points: Tensor) -> np.ndarray:
        """Points as rows in data units."""
        raise NotImplementedError

    # --- the partition function

    def estimate_partition(self) -> Partition:
        path = self.free_path(self.chains)
        shares = shares_of(path, self.temperatures)
        path.tuning = False
        self._sizes = path.sizes
        self.stored.shares.copy_(torch.tensor(shares, dtype=torch.float64))
        found, points = estimate(path, 0.0, shares, settle=50)
        more = [points]
        while sum(map(len, more)) < RESERVOIR:
            for _ in range(30):
                points = path.step(points, 1.0)
            more.append(points)
        self.stored.fill(torch.cat(more))
        return found

    def _tuned(self, path: SizedPath) -> SizedPath:
        """The path with the step sizes that log Z was found by."""
        path.sizes, path.tuning = self._sizes, False
        return path

    def annealed(self, queries: QueryBatch, chains: int, temperatures: int) -> tuple[Tensor, Tensor]:
        """log of unbiased estimates `[Q, chains]` of Z times p(evidence), and points `[Q, chains, *event]`."""
        shares, step = self.stored.path(temperatures), max(1, ROWS // chains)
        weights, points = [], []
        for first in range(0, len(queries), step):
            weight, found = self.walked(queries.take(slice(first, first + step)), chains, shares)
            weights.append(weight)
            points.append(found)
        return torch.cat(weights), torch.cat(points)

    def walked(self, queries: QueryBatch, chains: int, shares: Sequence[float]) -> tuple[Tensor, Tensor]:
        """As `annealed`, of few queries, at these shares of their path."""
        path, log_first = self.path_of(queries, chains)
        weight, points = anneal(self._tuned(path), shares)
        return weight.reshape(-1, chains) + log_first[:, None], points.reshape(len(queries), chains, -1)

    def proposed(self, queries: QueryBatch, particles: int, temperatures: int, rest: np.ndarray) -> WeightedRows:
        """Rows annealed under evidence, weighted by how they got there and by the `rest` of it, `[Q, width]` cells."""
        weight, points = self.annealed(queries, particles, temperatures)
        rows = np.where((queries.kind == POINT)[:, None], np.nan_to_num(queries.a)[:, None], self.rows(points))
        other = queries.only(rest)
        told = [log_likelihood(other, q, rows[q]) + log_ceiling(other, q) for q in range(len(queries))]
        weight = weight + torch.as_tensor(np.array(told), device=weight.device)
        return WeightedRows(queries, rows, weight - math.log(particles) - self.partition().value)

    # --- sampling and scoring

    @torch.no_grad()
    def draw(self, draws: int) -> np.ndarray:
        self.partition()
        points, path = self.stored.draw(draws), self._tuned(self.free_path(draws))
        for _ in range(20):
            points = path.step(points, 1.0)
        return self.rows(points)

    @torch.no_grad()
    def log_evidence(self, queries: QueryBatch) -> LogEvidence:
        partition, known = self.partition(), queries.kind == POINT
        value, error = np.zeros(len(queries)), np.zeros(len(queries))
        whole, some = known.all(1), known.any(1) & ~known.all(1)
        if whole.any():
            rows = torch.as_tensor(queries.a[whole], device=self.stored.numbers.device)
            value[whole] = self.log_joint(rows).cpu().numpy() - partition.value
        if some.any():
            weight = self.annealed(queries.take(some), _CHAINS, _TEMPERATURES)[0].cpu().numpy()
            value[some] = np.logaddexp.reduce(weight, axis=1) - math.log(_CHAINS) - partition.value
            error[some] = log_mean_error(weight)
        exact = partition.kind == "exact" and not some.any()
        return LogEvidence(value, error, "exact" if exact else "estimate", "joint", partition.error)

    def score_seen(self, batch: Batch, observed: Tensor) -> Tensor:
        values = np.where(observed.cpu().numpy(), batch.values.double().cpu().numpy(), np.nan)
        queries = QueryBatch.from_values(batch.schema, values)
        self.partition()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            if bool(observed.all()):
                return torch.as_tensor(self.log_evidence(queries).value, device=batch.values.device)
            weight = self.annealed(queries, *_QUICK)[0]
        return torch.logsumexp(weight, 1) - math.log(_QUICK[0]) - self.partition().value


class EnergyChains:
    """Chains of each query, half of them from kept draws, half from chains annealed under the evidence.

    Arguments:
        model: the energy.
        queries: what is known.
        chains: of each.
        hold: puts points `[Q, chains, *event]` where the evidence allows them.
        kernel: of so many warm-up steps, on such points, that leaves the law given the evidence invariant.
    """

    def __init__(
        self,
        model: AnnealedEnergy,
        queries: QueryBatch,
        chains: int,
        hold: Callable[[Tensor], Tensor],
        kernel: Callable[[int], Kernel],
    ) -> None:
        self.model, self.chains, self.hold, self.kernel = model, chains, hold, kernel
        self.log_weight, self.points = model.annealed(queries, max(chains, 32), _TEMPERATURES)

    def start(self) -> Tensor:
        queries, _, d = self.points.shape
        out = self.model.stored.draw(queries * self.chains).reshape(queries, self.chains, d)
        share = torch.softmax(self.log_weight.nan_to_num(neginf=-1e9), 1)
        chosen = torch.multinomial(share, self.chains, replacement=True)
        out[:, 1::2] = self.points.gather(1, chosen[..., None].expand(-1, -1, d))[:, 1::2]
        return self.hold(out)

    def rows(self, points: Tensor) -> np.ndarray:
        return self.model.rows(points)

    def log_evidence(self, seen: Tensor) -> tuple[np.ndarray, np.ndarray]:
        weight, partition = self.log_weight.cpu().numpy(), self.model.partition()
        value = np.logaddexp.reduce(weight, axis=1) - math.log(weight.shape[1]) - partition.value
        return value, np.hypot(log_mean_error(weight), partition.error)
