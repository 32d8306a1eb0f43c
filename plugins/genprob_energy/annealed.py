"""What deep energies share, whatever their points are: a partition function, scores and chains by annealing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from genprob.data.batch import Batch
from genprob.engine.transition import Kernel
from genprob.metrics.partition import Partition, Path, estimate, shares_of
from genprob.query.batch import POINT, QueryBatch
from genprob.query.diagnostics import log_mean_error
from genprob.query.log_evidence import LogEvidence
from genprob_energy.partitioned import Partitioned

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


class AnnealedEnergy(Partitioned):
    """A deep energy whose log Z, scores and chains come from paths that begin at a normalised base law.

    A subclass says what points are, and how they move: `free_path`, `annealed`, `rows`, `log_joint`.

    Attributes:
        chains: parallel chains that estimate the partition function.
        temperatures: steps of their path.
    """

    chains: int
    temperatures: int
    _sizes: list[tuple[float, float]]

    def free_path(self, copies: int) -> SizedPath:
        """The path of the joint, from the base to the energy's law."""
        raise NotImplementedError

    def annealed(self, queries: QueryBatch, chains: int, temperatures: int) -> tuple[Tensor, Tensor]:
        """log of unbiased estimates `[Q, chains]` of Z times p(evidence), and points `[Q, chains, *event]`."""
        raise NotImplementedError

    def rows(self, points: Tensor) -> np.ndarray:
        """Points as rows in data units."""
        raise NotImplementedError

    def log_joint(self, values: Tensor) -> Tensor:
        """log p of complete rows `[..., width]` in data units, up to log Z."""
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

    @property
    def log_partition(self) -> float:
        """In nats, relative to `log_joint`."""
        return self.partition().value

    @property
    def log_partition_se(self) -> float:
        """Its standard error."""
        return self.partition().error

    # --- sampling and scoring

    @torch.no_grad()
    def draw(self, draws: int) -> np.ndarray:
        self.partition()
        points, path = self.stored.draw(draws), self.free_path(draws)
        path.sizes, path.tuning = self._sizes, False
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

    def log_evidence(self) -> tuple[np.ndarray, np.ndarray]:
        weight, partition = self.log_weight.cpu().numpy(), self.model.partition()
        value = np.logaddexp.reduce(weight, axis=1) - math.log(weight.shape[1]) - partition.value
        return value, np.hypot(log_mean_error(weight), partition.error)
