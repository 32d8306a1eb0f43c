"""Variational autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, cast

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from genprob.data.batch import Batch
from genprob.data.schema import Schema
from genprob.errors import UsageError
from genprob.nets.conv import ConvDecoder, ConvEncoder
from genprob.nets.flagged import Flagged
from genprob.nets.heads import Counts, Heads, Reals, Scale
from genprob.nets.mlp import mlp
from genprob.query.batch import QueryBatch
from genprob.query.diagnostics import log_mean_error
from genprob.query.emission import remade
from genprob.query.log_evidence import LogEvidence
from genprob.query.programs import LatentProgram
from genprob_variational.prior import Priors, make

_LEAST, _MOST = -7.0, 3.0
"""Bounds of the guide's log standard deviations."""
ACTIVE = 0.01
"""Variance of a coordinate's posterior mean over rows above which it is in use (Burda et al. 2016)."""
_NUMBERS = 16_000_000
"""Decoder outputs that are computed at once."""


class VAE(LatentProgram):
    """A code z from a prior, decoded by a network into the laws of all variables (Kingma and Welling 2014).

    The guide is normal with a network's mean and standard deviations; it is shown the known cells and which they are,
    so that one guide serves every mask. Holes are left out of the bound (Mattei and Frellsen 2019). Its likelihood is
    the importance-weighted estimate (Burda, Grosse and Salakhutdinov 2016).

    See also: Rezende, Mohamed and Wierstra 2014.

    Arguments:
        latent: size of the code.
        hidden: sizes of the hidden layers of the encoder; the decoder has them in reverse.
        network: `mlp`, or `conv` for variables with two dims (or channels and two dims): convolutions over images.
        channels: of the first convolution; each further one has twice as many.
        prior: law of the code: normal, a learned mixture of normals, the guide at learned pseudo-inputs (Tomczak and
            Welling 2018), or a neural spline flow (Durkan et al. 2019).
        components: of a prior that is a mixture.
        reals: law of reals: normal, a mixture of logistic laws, or for intervals the continuous Bernoulli.
        scale: standard deviation of normals: learned per column, one shared by all, or the decoder's for each row.
        counts: law of counts.
        logistics: components of a mixture of logistic laws.
        particles: draws of the guide that a row's log-probability is estimated from.
    """

    inferences: ClassVar[tuple[str, ...]] = ("elbo", "iwae")

    def __init__(
        self,
        schema: Schema,
        *,
        latent: int = 8,
        hidden: Sequence[int] = (128, 128),
        network: Literal["mlp", "conv"] = "mlp",
        channels: int = 16,
        prior: Priors = "normal",
        components: int = 16,
        reals: Reals = "normal",
        scale: Scale = "column",
        counts: Counts = "negative_binomial",
        logistics: int = 5,
        particles: int = 256,
    ) -> None:
        super().__init__(schema)
        sizes = {"latent": latent, "hidden": min(hidden, default=1), "channels": channels, "components": components}
        for name, value in (sizes | {"logistics": logistics, "particles": particles}).items():
            if value < 1:
                raise UsageError(f"option {name}={value}: must be at least 1")
        self.latent, self.particles = latent, particles
        self.site = next(name for name in ("z", "code", "z_") if name not in schema)
        self.heads = heads = Heads(schema, reals=reals, scale=scale, counts=counts, components=logistics)
        if not (heads.reals or heads.counts):
            self.precision = torch.float32
        self._shown = heads.feature_width  # of rows without holes
        self.encoder, self.decoder = self._networks(heads, network, hidden, channels)
        self.prior = make(prior, latent, components, self)

    def _networks(
        self, heads: Heads, network: str, hidden: Sequence[int], channels: int
    ) -> tuple[nn.Module, nn.Module]:
        if network == "mlp":
            encoder = mlp(heads.feature_width, hidden, 2 * self.latent)
            flags = self.schema.width
            self._shown -= flags
            encoder[0] = Flagged(self._shown, flags, cast(nn.Linear, encoder[0]).out_features)
            return encoder, mlp(self.latent, tuple(hidden)[::-1], heads.width)
        return ConvEncoder.of(heads, hidden, 2 * self.latent, channels), ConvDecoder(
            heads, hidden, self.latent, channels
        )

    def prepare(self, batch: Batch, *, seed: int) -> list[str]:
        notes = super().prepare(batch, seed=seed)
        self.prior.prepare(self.features(batch))  # pyright: ignore[reportCallIssue]
        return notes

    def model(self, batch: Batch) -> None:
        """p(z), and every variable given z."""
        with batch.plate():
            z = pyro.sample(self.site, self.prior.law())  # pyright: ignore[reportCallIssue]
            self.emit(self.decoded(z), batch)

    def guide(self, batch: Batch) -> None:
        """q(z | known cells)."""
        loc, scale = self.posterior(batch)
        with batch.plate():
            pyro.sample(self.site, dist.Normal(loc, scale).to_event(1))

    def posterior(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean and standard deviations of q(z | known cells), `[rows, latent]`."""
        rows = batch.distinct
        shown = self.features(rows)
        loc, scale = self.encode(shown[:, : self._shown] if rows.complete else shown)
        return loc.repeat_interleave(batch.copies, 0), scale.repeat_interleave(batch.copies, 0)

    def encode(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviations of the guide that is shown `features [n, feature_width]`.

        A multilayer perceptron may be shown rows without holes without their flags.
        """
        loc, log_scale = self.encoder(features).chunk(2, -1)
        return loc, log_scale.clamp(_LEAST, _MOST).exp()

    def decoded(self, codes: Tensor) -> Tensor:
        """What `emit` takes at `codes [..., latent]`."""
        return self.decoder(codes)

    @torch.no_grad()
    def log_evidence(self, queries: QueryBatch) -> LogEvidence:
        """log p(evidence) estimated from `particles` draws a query; the mean of its exponential is the evidence."""
        step = max(1, _NUMBERS // (self.particles * max(1, self.emission_width)))
        parts = [
            self.propose(queries.take(slice(q, q + step)), self.particles).log_weight.cpu().numpy()
            for q in range(0, len(queries), step)
        ]
        weights = np.concatenate(parts) if parts else np.zeros((0, self.particles))
        return LogEvidence(np.logaddexp.reduce(weights, axis=1), log_mean_error(weights), "estimate")

    @torch.no_grad()
    def remarks(self, batch: Batch) -> list[str]:
        """How much of the code is in use, on rows of the data."""
        active = int(self.active(batch).sum())
        lines = [f"code: {active} of {self.latent} coordinates in use"]
        if not active:
            lines.append(
                "code: the posterior has collapsed onto the prior, so that variables are modelled as independent; "
                "fit longer, with beta below 1, or with a weaker decoder"
            )
        return lines

    @torch.no_grad()
    def restored(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        """Rows as they are, and what their mean codes decode to; see `genprob.pictures.capabilities.Restores`."""
        return remade(self._emission(), self.outputs(batch), batch)

    def outputs(self, batch: Batch) -> Tensor:
        """What `emit` takes at the guide's mean code of each row."""
        return self.decoded(self.posterior(batch)[0])

    def active(self, batch: Batch) -> Tensor:
        """Which coordinates of the code vary over rows, `[latent]` (Burda et al. 2016)."""
        loc, _ = self.posterior(batch)
        return loc.var(0, correction=0) > ACTIVE
