"""Variational autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from genprob.data.batch import Batch
from genprob.data.schema import Schema
from genprob.errors import UsageError
from genprob.nets.mlp import mlp
from genprob.query.programs import LatentProgram
from genprob_variational.prior import Mixture, Standard

_LEAST, _MOST = -7.0, 3.0
"""Bounds of the guide's log standard deviations."""


class VAE(LatentProgram):
    """A code z from a prior, decoded by a network into the laws of all variables (Kingma and Welling 2014).

    The guide is normal with a network's mean and standard deviations; it is shown the known cells and which they are,
    so that one guide serves every mask.

    See also: Rezende, Mohamed and Wierstra 2014; Mattei and Frellsen 2019 for holes, which are left out of the bound.

    Arguments:
        latent: size of the code.
        hidden: sizes of the hidden layers of the encoder; the decoder has them in reverse.
        prior: law of the code: normal, or a learned mixture of normals.
        components: of a prior that is a mixture.
    """

    inferences: ClassVar[tuple[str, ...]] = ("elbo", "iwae")

    def __init__(
        self,
        schema: Schema,
        *,
        latent: int = 8,
        hidden: Sequence[int] = (128, 128),
        prior: Literal["normal", "mixture"] = "normal",
        components: int = 16,
    ) -> None:
        super().__init__(schema)
        for name, value in {"latent": latent, "components": components, "hidden": min(hidden, default=1)}.items():
            if value < 1:
                raise UsageError(f"option {name}={value}: must be at least 1")
        self.latent = latent
        self.site = next(name for name in ("z", "code", "z_") if name not in schema)
        self.encoder = mlp(self.feature_width, hidden, 2 * latent)
        self.decoder = mlp(latent, tuple(hidden)[::-1], self.emission_width)
        self.prior: nn.Module = Standard(latent) if prior == "normal" else Mixture(latent, components)

    def model(self, batch: Batch) -> None:
        """p(z), and every variable given z."""
        with batch.plate():
            z = pyro.sample(self.site, self.prior.law())  # pyright: ignore[reportCallIssue]
            self.emit(self.decoder(z), batch)

    def guide(self, batch: Batch) -> None:
        """q(z | known cells)."""
        loc, scale = self.posterior(batch)
        with batch.plate():
            pyro.sample(self.site, dist.Normal(loc, scale).to_event(1))

    def posterior(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean and standard deviations of q(z | known cells), `[rows, latent]`."""
        code = self.encoder(self.features(batch.distinct)).repeat_interleave(batch.copies, 0)
        loc, log_scale = code.chunk(2, -1)
        return loc, log_scale.clamp(_LEAST, _MOST).exp()
