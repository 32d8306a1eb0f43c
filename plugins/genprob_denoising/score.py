"""Score models: a diffusion over all real variables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

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
from genprob.query.strategies import twisted
from genprob_denoising.flow import log_density, transported
from genprob_denoising.network import Denoiser
from genprob_denoising.reals import encoded, noised, only_reals

PARTICLES = 256
"""Particles a row, where something of it is unknown."""
_CELL_DRAWS = 4
"""Points that the probability of a row's cells is averaged over."""
_SHOWN_NOISE = 0.5


class Score(Model):
    """A diffusion whose variance explodes: the score of the data smoothed by noise of every size from least to most.

    It is sampled, and complete rows are scored, by one law: that of the probability flow (`law` is `flow`), from
    N(0, 1 + most^2) down to the least noise. Rows with holes and queries are answered by twisted sequential Monte
    Carlo over `levels` Gaussian steps (`law` is `diffusion`), which nears it as the levels grow. Trained with
    `inference={"name": "dsm", "match": "velocity"}` it is a flow matched along straight lines.

    See also: Song and Ermon 2019, Generative modeling by estimating gradients of the data distribution; Song et al.
    2021, Score-based generative modeling through stochastic differential equations.

    Arguments:
        schema: real variables; others are refused.
        hidden: sizes of the network's layers.
        least: smallest standard deviation of the noise, in those of the data.
        most: largest standard deviation of the noise, in those of the data.
        levels: noises, evenly spaced in their logs, through which queries and Langevin dynamics go.
    """

    inferences: ClassVar[tuple[str, ...]] = ("dsm",)
    precision = torch.float64
    levels: Tensor

    def __init__(
        self,
        schema: Schema,
        *,
        hidden: Sequence[int] = (128, 128, 128),
        least: float = 0.01,
        most: float = 10.0,
        levels: int = 50,
    ) -> None:
        super().__init__(schema)
        only_reals(schema, "score")
        if not 0 < least < most:
            raise UsageError(f"least={least}, most={most}: noises must be positive, the least first")
        if levels < 2:
            raise UsageError(f"levels={levels}: at least 2 noises")
        self.encoder = Encoder(schema)
        self.denoiser = Denoiser(schema.width, hidden)
        self.noises = (least, most)
        spaced = torch.linspace(math.log(least), math.log(most), levels, dtype=torch.float64)
        self.register_buffer("levels", spaced.exp())

    def prepare(self, batch: Batch, *, seed: int) -> list[str]:
        self.encoder.fit(self.encoder.inside(batch.values.double()), batch.observed)
        return []

    def points(self, batch: Batch) -> Tensor:
        """Encoded rows `[rows, width]`, rounded reals drawn from their cells, NaN at holes."""
        return encoded(self.encoder, batch)

    def score(self, points: Tensor, noise: Tensor) -> Tensor:
        dtype = torch.get_default_dtype()
        points, noise = points.to(dtype), noise.to(dtype)
        clean = self.denoiser(points, noise)
        return (clean - torch.where(torch.isnan(points), 0.0, points)) / noise[:, None] ** 2

    @torch.no_grad()
    def restored(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        """Rows with noise of half a standard deviation, and denoised."""
        least, most = self.noises
        return noised(self.encoder, self.points(batch), min(max(_SHOWN_NOISE, least), most), self.score)

    @torch.no_grad()
    def draw(self, draws: int) -> np.ndarray:
        least, most = self.noises
        start = math.sqrt(1 + most**2) * torch.randn(draws, self.schema.width, device=self.levels.device)
        return self._decoded(transported(self.score, start, most, least))

    @torch.no_grad()
    def langevin(self, draws: int, *, steps: int = 20, size: float = 0.8) -> np.ndarray:
        """Rows `[draws, width]` by annealed Langevin dynamics (Song and Ermon 2019), in data units; never exact.

        Arguments:
            draws: number of rows.
            steps: at each of the levels, from most noise to least.
            size: standard deviation of a step's noise, in units of the level's.
        """
        x = math.sqrt(1 + self.noises[1] ** 2) * torch.randn(draws, self.schema.width, device=self.levels.device)
        for level in self.levels.flip(0).tolist():
            step, noise = size * level, torch.full((draws,), level, device=x.device)
            for _ in range(steps):
                x = x + 0.5 * step**2 * self.score(x, noise) + step * torch.randn_like(x)
        return self._decoded(x)

    @torch.no_grad()
    def log_evidence(self, queries: QueryBatch) -> LogEvidence:
        whole = (queries.kind == POINT).all(1)
        value, error = np.zeros(len(queries)), np.zeros(len(queries))
        if whole.any():
            value[whole], error[whole] = self._flow(queries.a[whole])
        if not whole.all():
            value[~whole], error[~whole] = twisted.log_evidence(self, queries.take(~whole), PARTICLES)
        exact = bool(whole.all()) and not error.any()
        law = "flow" if whole.all() else twisted.LAW if not whole.any() else f"flow, {twisted.LAW}"
        return LogEvidence(value, error, "exact" if exact else "estimate", law)

    def _flow(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        copies = _CELL_DRAWS if any(self.encoder.cells) else 1
        rows = torch.as_tensor(values, device=self.levels.device).repeat_interleave(copies, 0)
        x, log_width = dequantised(self.encoder, self.encoder.inside(rows))
        density, error = log_density(self.score, self.encoder.encode(x), *self.noises)
        each = density + (self.encoder.log_jacobian(x) + log_width).sum(1)
        each, error = each.reshape(-1, copies), error.reshape(-1, copies)
        value = torch.logsumexp(each, 1) - math.log(copies)
        share = torch.softmax(each, 1)
        spread = (share * error).square().sum(1)
        if copies > 1:
            spread = spread + (copies * share).var(1) / copies
        return value.cpu().numpy(), spread.sqrt().cpu().numpy()

    def _decoded(self, points: Tensor) -> np.ndarray:
        return self.encoder.snap(self.encoder.decode(points.double())).cpu().numpy()
