"""Denoising autoencoders of real variables: one level of Gaussian noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from genprob.data.batch import Batch
from genprob.data.encoders import Encoder
from genprob.data.schema import Schema
from genprob.errors import UsageError
from genprob.model import Model
from genprob.nets.dequantise import dequantised
from genprob.query.batch import POINT, QueryBatch
from genprob.query.log_evidence import LogEvidence
from genprob.query.regions import Regions
from genprob_denoising.code import coded
from genprob_denoising.energy import DenoiserNet, EnergyNet
from genprob_denoising.held import Adjusted, Held, Volume
from genprob_denoising.reals import encoded, noised, only_reals

_STARTS = 512
"""Rows that are kept for chains to begin at."""
_DRAWN = 100
"""Transitions from a row to a draw; the kernel adapts in the first half of them."""
_PARTICLES, _PARTITION = 256, 4096
"""Particles of a query's log-evidence, and of the log-partition function."""
_CELL_DRAWS = 8
_ROWS = 200_000


class DAE(Model):
    """A denoising autoencoder r over reals with Gaussian noise: (r(x) - x) / sigma^2 is the score of the noisy law.

    What it models is p_sigma, the law of the data plus noise; draws and answers are finished by Tweedie's formula, the
    mean of the clean point given the noisy one, unless `finish` is off. r is any network: there is a score and no
    density, chains are unadjusted (law `chain`) and answers heuristic; see `EnergyDAE`.

    See also: Vincent et al. 2008, Extracting and composing robust features with denoising autoencoders; Vincent 2011,
    A connection between score matching and denoising autoencoders; Alain and Bengio 2014.

    Arguments:
        schema: real variables; others are refused.
        sigma: standard deviation of the noise, in those of the data.
        hidden: sizes of the network's layers.
        finish: take noise off draws and answers by Tweedie's formula.
        contract: weight of the squared Jacobian of the code, the network's last hidden layer, in the loss.
        sparse: weight of the code's absolute values in the loss.
    """

    inferences: ClassVar[tuple[str, ...]] = ("dsm",)
    laws: ClassVar[tuple[str, str]] = ("chain", "chain")
    """The law of answers that are noisy, and of those that are finished."""
    denoiser: ClassVar[type[EnergyNet] | type[DenoiserNet]] = DenoiserNet
    precision = torch.float64
    starts: Tensor

    def __init__(
        self,
        schema: Schema,
        *,
        sigma: float = 0.2,
        hidden: Sequence[int] = (128, 128),
        finish: bool = True,
        contract: float = 0.0,
        sparse: float = 0.0,
    ) -> None:
        super().__init__(schema)
        only_reals(schema, "dae")
        if not sigma > 0:
            raise UsageError(f"option sigma={sigma}: noise must be positive")
        if contract < 0 or sparse < 0:
            raise UsageError(f"contract={contract}, sparse={sparse}: the weight of a penalty cannot be negative")
        if (contract or sparse) and not len(hidden):
            raise UsageError("contract and sparse are of a hidden layer, and hidden has none")
        self.sigma, self.finish, self.law = sigma, finish, self.laws[finish]
        self.contract, self.sparse = contract, sparse
        self.noises = (sigma, sigma)
        self.encoder = Encoder(schema)
        self.network = self.denoiser(schema.width, hidden, sigma)
        self._keep(1)

    def prepare(self, batch: Batch, *, seed: int) -> list[str]:
        self.encoder.fit(self.encoder.inside(batch.values.double()), batch.observed)
        rows = torch.randperm(len(batch), device=batch.values.device)[:_STARTS]
        self._keep(len(rows))
        points = self.points(batch.take(rows))
        other = torch.randint(len(rows), points.shape, device=points.device)
        spare = torch.where(torch.isnan(points), 0.0, points).gather(0, other)  # holes: cells of other rows
        self.starts.copy_(torch.where(torch.isnan(points), spare, points))
        return []

    def structure(self) -> dict[str, Any]:
        return {"starts": len(self.starts)}

    def build(self, structure: dict[str, Any]) -> None:
        self._keep(structure["starts"])

    def _keep(self, rows: int) -> None:
        self.register_buffer("starts", torch.zeros(rows, self.schema.width, device=self.encoder.loc.device))

    # --- training

    def points(self, batch: Batch) -> Tensor:
        """Encoded rows `[rows, width]`, rounded reals drawn from their cells, NaN at holes."""
        return encoded(self.encoder, batch)

    def score(self, points: Tensor, noise: Tensor) -> Tensor:
        return self.network.score(points)

    @torch.no_grad()
    def code(self, batch: Batch) -> Tensor:
        """What the network's last hidden layer makes of complete rows, `[rows, units]`."""
        return coded(self.network.network, self.points(batch).to(torch.get_default_dtype()))[0]

    @torch.no_grad()
    def restored(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        """Rows with noise, and denoised; see `genprob.pictures.capabilities.Restores`."""
        return noised(self.encoder, self.points(batch), self.sigma, self.score)

    def auxiliary(self, batch: Batch) -> Tensor:
        """The contractive and the sparse penalty of each row, `[rows]`; see `genprob.engine.capabilities.Auxiliary`."""
        if not self.contract and not self.sparse:
            return torch.zeros(len(batch), device=self.starts.device)
        code, stretch = coded(self.network.network, self.points(batch))
        return self.contract * stretch + self.sparse * code.abs().sum(1)

    # --- the law

    def slope(self, points: Tensor) -> Tensor:
        """The score of p_sigma at encoded points `[n, width]`, float64 and without a graph."""
        parts = points.to(torch.get_default_dtype()).split(_ROWS)
        return torch.cat([self.network.score(part).detach() for part in parts]).double()

    @torch.no_grad()
    def draw(self, draws: int) -> np.ndarray:
        regions = Regions.of(self.encoder, QueryBatch.empty(self.schema, 1))
        held = self.held(regions, draws)
        kernel, points = held.kernel(_DRAWN // 2), held.start()
        memory = kernel.init(points)
        for step in range(_DRAWN):
            points, memory, told = kernel.step(points, memory)
            if step < _DRAWN // 2 and hasattr(kernel, "adapt"):
                memory = kernel.adapt(points, memory, told)  # pyright: ignore[reportAttributeAccessIssue]
        return held.rows(points)[0]

    def held(self, regions: Regions, chains: int) -> Held:
        """Chains of each query."""
        return Held(self, regions, chains)

    def unwalkable(self, queries: QueryBatch) -> list[str]:
        return [""] * len(queries)

    def walk(self, queries: QueryBatch, chains: int) -> Held:
        """Unadjusted chains of each query."""
        return self.held(Regions.of(self.encoder, queries), chains)


class EnergyDAE(DAE):
    """A denoising autoencoder whose denoiser is a step down an energy: r(x) = x - sigma^2 grad E(x).

    Chains can be accepted or refused, so that answers are consistent, of p_sigma (law `p_sigma`) or of its points
    denoised (law `p_sigma+tweedie`). The log-probability is always of p_sigma, an estimate with the error of the
    log-partition function.

    See also: Vincent 2011, A connection between score matching and denoising autoencoders; Saremi and Hyvarinen 2019,
    Neural empirical Bayes. The arguments are those of `DAE`.
    """

    laws = ("p_sigma", "p_sigma+tweedie")
    denoiser = EnergyNet
    _log_partition: tuple[float, float] | None = None

    def energy(self, points: Tensor) -> Tensor:
        """-log p_sigma up to a constant, of encoded points `[n, width]`, `[n]`."""
        assert isinstance(self.network, EnergyNet)
        return self.network(points.to(torch.get_default_dtype()))

    def value_and_score(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Energies `[n]` and scores `[n, width]` of encoded points, float64 and without a graph."""
        assert isinstance(self.network, EnergyNet)
        parts = [self.network.value_and_score(part) for part in points.to(torch.get_default_dtype()).split(_ROWS)]
        value, score = (torch.cat(part).double() for part in zip(*parts, strict=True))
        return value, score

    def slope(self, points: Tensor) -> Tensor:
        return self.value_and_score(points)[1]

    def held(self, regions: Regions, chains: int) -> Adjusted:
        return Adjusted(self, regions, chains)

    def unwalkable(self, queries: QueryBatch) -> list[str]:
        return ["its chains can be accepted or refused: see clamped"] * len(queries)

    def unclampable(self, queries: QueryBatch) -> list[str]:
        return [""] * len(queries)

    def clamp(self, queries: QueryBatch, chains: int) -> Adjusted:
        return self.held(Regions.of(self.encoder, queries), chains)

    @torch.no_grad()
    def log_evidence(self, queries: QueryBatch) -> LogEvidence:
        partition, error = self.log_partition()
        value, spread = np.zeros(len(queries)), np.zeros(len(queries))
        whole = (queries.kind == POINT).all(1)
        if whole.any():
            value[whole], spread[whole] = self._complete(queries.a[whole], partition)
        rest = ~whole & (queries.kind != 0).any(1)
        if rest.any():
            value[rest], spread[rest] = self.log_volume(Regions.of(self.encoder, queries.take(rest)))
        return LogEvidence(value, spread, "estimate", "p_sigma", error)

    def _complete(self, values: np.ndarray, partition: float) -> tuple[np.ndarray, np.ndarray]:
        copies = _CELL_DRAWS if any(self.encoder.cells) else 1
        rows = torch.as_tensor(values, device=self.encoder.loc.device).repeat_interleave(copies, 0)
        x, log_width = dequantised(self.encoder, self.encoder.inside(rows))
        each = -self.energy(self.encoder.encode(x)).double() - partition
        each = (each + (self.encoder.log_jacobian(x) + log_width).sum(1)).reshape(-1, copies)
        spread = (copies * torch.softmax(each, 1)).std(1) / math.sqrt(copies) if copies > 1 else 0 * each[:, 0]
        return (torch.logsumexp(each, 1) - math.log(copies)).cpu().numpy(), spread.cpu().numpy()

    def log_partition(self) -> tuple[float, float]:
        """log of the integral of exp(-energy) in encoded coordinates and its standard error, always the same."""
        if self._log_partition is None:
            with torch.no_grad(), torch.random.fork_rng(devices=_devices(self.encoder.loc)):
                torch.manual_seed(0)
                nothing = Regions.of(self.encoder, QueryBatch.empty(self.schema, 1))
                found = Volume(self.held(nothing, 1)).anneal(_PARTITION)
            self._log_partition = float(found.log_ratio[0]), float(found.variance[0].sqrt())
        return self._log_partition

    @torch.no_grad()
    def log_volume(self, regions: Regions) -> tuple[np.ndarray, np.ndarray]:
        """log p_sigma(evidence) in data units and its standard error, `[Q]`."""
        partition, _ = self.log_partition()
        step, index = max(1, _ROWS // _PARTICLES), torch.arange(len(regions.point), device=regions.point.device)
        found = [Volume(self.held(regions.take(part), 1)).anneal(_PARTICLES) for part in index.split(step)]
        value = torch.cat([f.log_ratio for f in found]) - partition + regions.log_jacobian
        return value.cpu().numpy(), torch.cat([f.variance for f in found]).sqrt().cpu().numpy()


def _devices(like: Tensor) -> list[int]:
    return [like.device.index or 0] if like.is_cuda else []
