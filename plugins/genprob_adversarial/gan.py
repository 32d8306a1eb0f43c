"""Generators against critics, over tables of any types, with holes."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from genprob.data.batch import Batch
from genprob.data.schema import Schema
from genprob.errors import UsageError
from genprob.nets.conv import ConvDecoder, ConvEncoder
from genprob.nets.mlp import mlp
from genprob.query.emission import remade
from genprob.query.programs import LatentProgram
from genprob_adversarial import soft
from genprob_adversarial.critic import ConvCritic

_LEAST, _MOST = -6.0, 2.0
"""Bounds of the guide's log standard deviations."""
_PATTERNS = 1024
"""Patterns of holes that are kept."""


class GAN(LatentProgram):
    """A network that turns a normal code into rows, taught by a discriminator (Goodfellow et al. 2014).

    What answers queries and has a likelihood is the generator seen through noise (`law` is `generator+noise`): reals
    are normal around its output, with a deviation a column that is fitted to rows that neither player has seen,
    binaries and categories have the probabilities that it puts out, counts are negative binomial around its means.
    Draws have that noise too. The log-probability is an estimate under that law (Wu, Burda, Salakhutdinov and Grosse
    2017, On the quantitative analysis of decoder-based generative models), by a guide that is taught on draws.

    Where data have holes, generated points are given the holes of rows and the discriminator is shown which cells are
    known (Bora, Price and Dimakis 2018, AmbientGAN): right where cells are missing completely at random.

    Arguments:
        schema: variables of any support.
        latent: size of the code.
        hidden: sizes of the generator's layers, of the guide's and, without `critic_hidden`, of the critic's.
        critic_hidden: sizes of the critic's layers, None for those of the generator.
        network: `mlp`, or `conv` for variables with two dims (or channels and two dims): convolutions over images.
        channels: of the convolution next to the image; the other has twice as many.
        pack: points that the critic judges together, all of data or all generated: a lack of variety, which no single
            point shows, is then seen (Lin et al. 2018, PacGAN).
    """

    inferences: ClassVar[tuple[str, ...]] = ("adversarial",)
    contest: ClassVar[Literal["logistic", "original", "wasserstein"]] = "logistic"
    law: ClassVar[str] = "generator+noise"
    patterns: Tensor

    def __init__(
        self,
        schema: Schema,
        *,
        latent: int = 8,
        hidden: Sequence[int] = (128, 128, 128),
        critic_hidden: Sequence[int] | None = None,
        network: Literal["mlp", "conv"] = "mlp",
        channels: int = 16,
        pack: int = 1,
    ) -> None:
        super().__init__(schema)
        for name, value in {"latent": latent, "channels": channels, "pack": pack}.items():
            if value < 1:
                raise UsageError(f"option {name}={value}: must be at least 1")
        self.latent, self.pack = latent, pack
        self.site = next(name for name in ("z", "code", "z_") if name not in schema)
        self.hidden = tuple(hidden if critic_hidden is None else critic_hidden)
        self.channels = channels if network == "conv" else None
        if self.channels is None:
            # Between modes a generator has to turn sharply, which smooth activations learn far more slowly.
            self.generator: nn.Module = mlp(latent, hidden, self.emission_width, nn.ReLU)
            self.encoder: nn.Module = mlp(self.feature_width, hidden, 2 * latent)
        else:
            self.generator = ConvDecoder(self._emission(), hidden, latent, channels)
            self.encoder = ConvEncoder.of(self._emission(), hidden, 2 * latent, channels)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.register_buffer("patterns", torch.ones(0, schema.width, dtype=torch.bool))
        self._arrange(0)

    # --- what depends on the data

    def prepare(self, batch: Batch, *, seed: int) -> list[str]:
        notes = super().prepare(batch, seed=seed)
        if not bool(batch.observed.all()):
            rows = torch.randperm(len(batch), device=batch.observed.device)[:_PATTERNS]
            self._arrange(len(rows))
            self.patterns.copy_(batch.observed[rows])
        return notes

    def structure(self) -> dict[str, Any]:
        return {"patterns": len(self.patterns)}

    def build(self, structure: dict[str, Any]) -> None:
        self._arrange(structure["patterns"])

    def _arrange(self, patterns: int) -> None:
        """The critic, and room for patterns of holes, which it is shown if there are any."""
        device = self.patterns.device
        planes = 2 if patterns else 1
        if self.channels is None:
            critic = mlp(self.pack * (self.emission_width * planes + self.cause_width), self.hidden, 1)
        else:
            critic = ConvCritic(self._emission(), self.hidden, self.channels, planes, self.cause_width, self.pack)
        self.critic: nn.Module = critic.to(device)
        shape = (patterns, self.schema.width)
        self.register_buffer("patterns", torch.ones(shape, dtype=torch.bool, device=device))

    @property
    def cause_width(self) -> int:
        """How many numbers of a code the critic is shown."""
        return 0

    # --- the game

    def points(self, batch: Batch) -> Tensor:
        return self._packed(self.of_rows(batch))

    def generate(self, count: int) -> Tensor:
        return self._packed(self.of_codes(torch.randn(count, self.latent, device=self.patterns.device)))

    def judge(self, points: Tensor) -> Tensor:
        return self.critic(points)[:, 0]

    def of_rows(self, batch: Batch) -> Tensor:
        """Rows as soft points, `[rows, ...]`, then which of their numbers are known if some rows have holes."""
        return self._shown(soft.of_rows(self._emission(), batch), batch.observed)

    def of_codes(self, code: Tensor) -> Tensor:
        """What the generator makes of codes, as soft points with the holes of rows."""
        points = soft.of_outputs(self._emission(), self.generator(code))
        if not len(self.patterns):
            return points
        observed = self.patterns[torch.randint(len(self.patterns), (len(points),), device=points.device)]
        return self._shown(points, observed)

    def _packed(self, points: Tensor) -> Tensor:
        """`[n, ...]` as `[n / pack, pack * ...]`; where rows are lacking the first are taken again."""
        if self.pack == 1:
            return points
        packs = -(-len(points) // self.pack)
        taken = torch.arange(packs * self.pack, device=points.device) % len(points)
        return points[taken].reshape(packs, -1)

    def _shown(self, points: Tensor, observed: Tensor) -> Tensor:
        if not len(self.patterns):
            return points
        known = soft.spread(self._emission(), observed).to(points.dtype)
        return torch.cat([points * known, known], 1)

    # --- the generator seen through noise

    def model(self, batch: Batch) -> None:
        """p(z), and every variable given what the averaged generator makes of z."""
        with batch.plate():
            z = pyro.sample(
                self.site, dist.Normal(torch.zeros(self.latent, device=self.patterns.device), 1.0).to_event(1)
            )
            self.emit(self.average(z), batch)

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

    @torch.no_grad()
    def restored(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        """Rows as they are, and what their mean codes generate; see `genprob.pictures.capabilities.Restores`."""
        return remade(self._emission(), self.average(self.posterior(batch)[0]), batch)


class WGAN(GAN):
    """A network that turns a normal code into rows, taught by a critic of bounded slope (Arjovsky et al. 2017).

    It is `GAN` in all but its game, in which the critic measures Wasserstein's distance (Gulrajani et al. 2017).

    Arguments:
        schema: variables of any support.
        latent: size of the code.
        hidden: sizes of the generator's layers, of the guide's and, without `critic_hidden`, of the critic's.
        critic_hidden: sizes of the critic's layers, None for those of the generator.
        network: `mlp`, or `conv` for variables with two dims (or channels and two dims): convolutions over images.
        channels: of the convolution next to the image; the other has twice as many.
        pack: points that the critic judges together, all of data or all generated: a lack of variety, which no single
            point shows, is then seen (Lin et al. 2018, PacGAN).
    """

    contest = "wasserstein"


class DCGAN(GAN):
    """A game between convolutional networks over images (Radford, Metz and Chintala 2016).

    It is `GAN` with `network="conv"`: strided convolutions down to the layers of critic and guide, transposed ones up
    from those of the generator. There is no batch normalisation: the critic's slope is penalised point by point.

    Arguments:
        schema: variables of any support, one of them an image at least.
        latent: size of the code.
        hidden: sizes of the layers between code and convolutions.
        critic_hidden: sizes of the critic's layers after its convolutions, None for those of the generator.
        channels: of the convolution next to the image; the other has twice as many.
        pack: points that the critic judges together, all of data or all generated: a lack of variety, which no single
            point shows, is then seen (Lin et al. 2018, PacGAN).
    """

    def __init__(
        self,
        schema: Schema,
        *,
        latent: int = 16,
        hidden: Sequence[int] = (128,),
        critic_hidden: Sequence[int] | None = None,
        channels: int = 16,
        pack: int = 1,
    ) -> None:
        super().__init__(
            schema,
            latent=latent,
            hidden=hidden,
            critic_hidden=critic_hidden,
            network="conv",
            channels=channels,
            pack=pack,
        )
