"""The mixture: p(x) = sum_k p(k) p(x | k), reals jointly Gaussian within a component, other columns independent."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from genprob.data.batch import Batch
from genprob.data.encoders import Encoder
from genprob.data.schema import Schema
from genprob.errors import UsageError
from genprob.memory import require
from genprob.model import Model
from genprob.query.batch import QueryBatch
from genprob_mixture import cloud, conditional, em, gaussian, start
from genprob_mixture.patterns import group
from genprob_mixture.rows import Rows, encode
from genprob_mixture.tables import Tables, negative_binomial

COVARIANCES = ("full", "diagonal", "low-rank")
_COPIES = 5
"""Matrices per component that a step of EM holds: factor, covariance, swept, second moments, their update."""


class Mixture(Model):
    """A finite mixture over columns of any type, with exact conditionals for every mask.

    A latent cause k has probability p(k); given k the real columns are jointly Gaussian (in encoded coordinates),
    categorical and binary columns have a probability table each, counts a negative binomial law each. Missing cells
    are summed out exactly, in training and in queries.

    See also: Dempster, Laird and Rubin 1977 (EM); Ghahramani and Jordan 1994, Supervised learning from incomplete
    data via an EM approach; Ghahramani and Hinton 1996 (mixtures of factor analysers).

    Arguments:
        components: number of components; None chooses it by held-out likelihood.
        covariance: `full`, `diagonal` or `low-rank` (factors plus a diagonal) over the real columns; None takes full
            ones, and where there are fewer than ten rows for each real column full or low-rank by held-out likelihood.
        rank: number of factors of a low-rank covariance.
        shrinkage: pseudo-rows by which each covariance is drawn towards the components' common one; None takes
            twice the number of real columns plus four.
        smoothing: pseudo-rows with the marginal law of each categorical and count column, per component.
        ridge: smallest variance in any direction, in squared standard deviations of the data.
        transform: `support` (log of positives, logit of intervals) or `yeo-johnson` (also straightens skewness).
        restarts: short runs from different k-means++ starts, of which the best is continued.
    """

    precision = torch.float64

    def __init__(
        self,
        schema: Schema,
        *,
        components: int | None = None,
        covariance: str | None = None,
        rank: int = 4,
        shrinkage: float | None = None,
        smoothing: float = 1.0,
        ridge: float = 1e-4,
        transform: str = "support",
        restarts: int = 1,
    ) -> None:
        super().__init__(schema)
        if components is not None and components < 1:
            raise UsageError(f"components={components}: a mixture has at least one component")
        if covariance not in (None, *COVARIANCES):
            raise UsageError(f"covariance {covariance!r} is not one of: {', '.join(COVARIANCES)}")
        for name, value in {"shrinkage": shrinkage or 0.0, "smoothing": smoothing, "ridge": ridge}.items():
            if not (math.isfinite(value) and value >= 0):
                raise UsageError(f"{name}={value}: must be a finite number, 0 or more")
        if rank < 1 or restarts < 1:
            raise UsageError(f"rank={rank}, restarts={restarts}: both must be at least 1")
        self.components = components
        self.asked_form, self.covariance_form = covariance, covariance or "full"
        self.encoder = Encoder(schema, transform=transform)
        self.tables = Tables.of(schema)
        d = len(self.encoder)
        self._require_memory(components or 1)
        self.rank = min(rank, max(1, d - 1))
        self.shrinkage = float(2 * (d + 2) if shrinkage is None else shrinkage)
        self.smoothing = smoothing
        self.ridge = max(ridge, 1e-9)
        self.restarts = restarts
        self._rows: tuple[Batch, Rows] | None = None
        self.register_buffer("floor", torch.full((d,), self.ridge, dtype=torch.float64))
        self.register_buffer("common", torch.eye(d, dtype=torch.float64))
        self.register_buffer("base", torch.zeros(self.tables.width, dtype=torch.float64))
        self.register_buffer("count_mean", torch.ones(len(self.tables.counts), dtype=torch.float64))
        if components is not None:
            self.build({"components": components})

    # --- structure and parameters

    def structure(self) -> dict[str, Any]:
        return {"components": self.components, "covariance": self.covariance_form}

    def build(self, structure: dict[str, Any]) -> None:
        """Allocates the parameters of K components with covariances of one form."""
        self.components = k = int(structure["components"])
        self.covariance_form = structure.get("covariance", self.covariance_form)
        self._require_memory(k)
        d, c, device = len(self.encoder), len(self.tables.counts), self.floor.device

        def parameter(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.zeros(*shape, dtype=torch.float64, device=device))

        self.logits, self.mean = parameter(k), parameter(k, d)
        for name in ("factor", "log_scale", "loading"):
            self._parameters.pop(name, None)
        if self.covariance_form == "full":
            self.factor = parameter(k, d, d)
        elif self.covariance_form == "diagonal":
            self.log_scale = parameter(k, d)
        else:
            self.loading, self.log_scale = parameter(k, d, self.rank), parameter(k, d)
        self.table = parameter(k, self.tables.width)
        self.log_mean, self.log_size = parameter(k, c), parameter(k, c)

    def _require_memory(self, components: int) -> None:
        """`ResourceError` where the matrices of a fit would not fit into memory."""
        d = len(self.encoder)
        require(
            8 * d * d * components * _COPIES,
            f"a mixture of {components} components over {d} numbers a row (a matrix of {d} x {d} for each)",
            "ignore some of them (schema={name: 'ignore'}, --ignore NAME), or take another model such as vae",
        )

    def prepare(self, batch: Batch, *, seed: int) -> list[str]:
        """Fits the encoder, chooses the number of components where not given, and places the components."""
        notes: list[str] = []
        columns = self.encoder.columns
        values, observed = batch.values[:, columns], batch.observed[:, columns]
        self.encoder.fit(values, observed)
        self._set_floor(values, observed)
        rows = self.rows(batch)
        self._set_marginals(rows)
        structure, note = start.choose(self, batch, seed=seed)
        self.build(structure)
        notes += [note] if note else []
        assert self.components is not None
        if self.components > len(batch):
            notes.append(f"components reduced from {self.components} to the number of rows, {len(batch)}")
            self.build({"components": max(1, len(batch))})
        start.place(self, batch, seed=seed)
        return notes

    def _set_floor(self, values: Tensor, observed: Tensor) -> None:
        """Smallest variances: the ridge, and the variance of a uniform reading within a cell."""
        lo, hi = self.encoder.edges(values)
        for c, cell in enumerate(self.encoder.cells):
            if cell is not None:
                width = (hi - lo)[observed[:, c], c]
                width = width[torch.isfinite(width)]
                if width.numel():
                    self.floor[c] = max(self.ridge, float(width.median()) ** 2 / 12)

    def _set_marginals(self, rows: Rows) -> None:
        """The marginal laws of the tables, towards which each component's are smoothed."""
        at = 0
        for size in self.tables.sizes:
            seen = rows.hits[:, at : at + size].sum(0) + 1.0 / size
            self.base[at : at + size] = seen / seen.sum()
            at += size
        for c, values in enumerate(rows.count_values):
            seen = rows.hits[:, at : at + len(values)].sum(0)
            self.count_mean[c] = (seen @ values / seen.sum().clamp(min=1.0)).round()
            at += len(values)

    # --- expectation and maximisation

    def rows(self, batch: Batch) -> Rows:
        """The batch encoded and sorted for EM; the last batch's are kept."""
        if self._rows is None or self._rows[0] is not batch:
            self._rows = (batch, encode(batch, self.encoder, self.tables))
        return self._rows[1]

    def expectation(self, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return em.expectation(self, self.rows(batch))

    def maximisation(self, statistics: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        return em.maximisation(self, statistics, self.rows(batch).count_values)

    @torch.no_grad()
    def write(self, parameters: dict[str, Tensor]) -> None:
        """Takes over parameters, in place."""
        for name, value in parameters.items():
            getattr(self, name).copy_(value)

    @torch.no_grad()
    def score_rows(self, batch: Batch) -> Tensor:
        """log p(known cells) in data units, cells at their centres times their widths, `[rows]`."""
        return em.log_density(self, encode(batch, self.encoder, self.tables))

    @torch.no_grad()
    def score_masks(self, batch: Batch, masks: Tensor) -> Tensor:
        """`score_rows` of rows seen through each of many masks, `[masks, rows]`."""
        return em.log_density_masked(self, batch, masks)

    def weights(self) -> Tensor:
        """log p(k), `[K]`."""
        return torch.log_softmax(self.logits, -1)

    def covariance(self) -> Tensor:
        """Covariances in encoded coordinates, `[K, d, d]`."""
        if self.covariance_form == "full":
            factor = self.tril()
            return factor @ factor.mT
        diagonal = torch.diag_embed(torch.exp(2 * self.log_scale))
        return diagonal if self.covariance_form == "diagonal" else self.loading @ self.loading.mT + diagonal

    def tril(self) -> Tensor:
        """Cholesky factors of full covariances; the raw parameter holds their log diagonal."""
        return torch.tril(self.factor, -1) + torch.diag_embed(self.factor.diagonal(dim1=-2, dim2=-1).exp())

    def level_log_probs(self) -> Tensor:
        """log p(level | k) of all levelled columns, `[K, width]`."""
        return self.tables.normalise(self.table)

    def count_log_probs(self, values: Tensor) -> Tensor:
        """log p(n | k) for `values [..., counts]`, `[..., K, counts]`."""
        return negative_binomial(values[..., None, :], self.log_mean, self.log_size)

    # --- queries

    def inexact(self, queries: QueryBatch) -> list[str]:
        return conditional.inexact(self, queries)

    def condition(self, queries: QueryBatch) -> cloud.MixtureCloud:
        return cloud.exact(self, queries)

    def propose(self, queries: QueryBatch, particles: int) -> cloud.MixtureCloud:
        return cloud.propose(self, queries, particles)

    def draw(self, draws: int) -> np.ndarray:
        everything = cloud.exact(self, QueryBatch.empty(self.schema, 1))
        index = torch.multinomial(self.weights().detach().exp(), draws, replacement=True)
        return everything.draw(index[None])[0]

    # --- the Pyro pair

    def model(self, batch: Batch) -> None:
        """k ~ p(k); x | k, as one site over the known cells of a row."""
        with batch.plate():
            k = pyro.sample("component", dist.Categorical(logits=self.logits), infer={"enumerate": "parallel"})
            pyro.sample("x", _GivenComponent(self.component_log_density(batch), k), obs=batch.values)

    def guide(self, batch: Batch) -> None:
        """k ~ p(k | x), exact: the ELBO of the pair is the log-likelihood."""
        joint = self.weights() + self.component_log_density(batch)
        with batch.plate():
            pyro.sample("component", dist.Categorical(logits=joint.detach()), infer={"enumerate": "parallel"})

    def component_log_density(self, batch: Batch) -> Tensor:
        """log p(known cells | k) in encoded coordinates at cell centres, differentiable, `[rows, K]`."""
        values = batch.values.to(torch.float64)
        columns = self.encoder.columns
        known = batch.observed[:, columns]
        y = torch.where(known, self.encoder.encode(values[:, columns]), 0.0)
        out = gaussian.log_density_autograd(y, group(known), self.mean, self.covariance()) if columns else 0.0
        out = out + self.tables.one_hot(values, batch.observed) @ self.level_log_probs().T
        if self.tables.counts:
            law = self.count_log_probs(values[:, self.tables.counts])
            out = out + (law * batch.observed[:, None, self.tables.counts]).sum(-1)
        return out


class _GivenComponent(dist.TorchDistribution):
    """p(x | k) of whole rows, read off a table of component log-densities `[rows, K]`."""

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = dist.constraints.real_vector  # pyright: ignore[reportAssignmentType]

    def __init__(self, table: Tensor, k: Tensor) -> None:
        self.table, self.k = table, k
        super().__init__(torch.broadcast_shapes(k.shape, table.shape[:1]), torch.Size((1,)), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        k = self.k.expand(self.batch_shape)
        return self.table.expand(*self.batch_shape, -1).gather(-1, k[..., None])[..., 0]

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
        raise NotImplementedError("rows are drawn by Mixture.draw, which knows the encoder")
