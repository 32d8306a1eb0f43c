"""Adversarially learned inference: generator and encoder against a critic of pairs."""

from __future__ import annotations

import torch
from torch import Tensor

from genprob.data.batch import Batch
from genprob_adversarial.gan import GAN


class ALI(GAN):
    """A generator and an encoder that a discriminator of pairs (row, code) cannot tell apart.

    At the end of the game the encoder draws codes from the generator's posterior (Dumoulin et al. 2017,
    Adversarially learned inference; Donahue, Krahenbuhl and Darrell 2017, Adversarial feature learning). It is the
    guide by which queries are answered.

    Arguments:
        schema: variables of any support.
        latent: size of the code.
        hidden: sizes of the generator's layers, of the encoder's and, without `critic_hidden`, of the critic's.
        critic_hidden: sizes of the critic's layers, None for those of the generator.
        network: `mlp`, or `conv` for variables with two dims (or channels and two dims): convolutions over images.
        channels: of the convolution next to the image; the other has twice as many.
        pack: pairs that the critic judges together (Lin et al. 2018, PacGAN).
    """

    @property
    def cause_width(self) -> int:
        return self.latent

    def of_rows(self, batch: Batch) -> Tensor:
        """Rows as soft points with codes that the encoder draws."""
        return torch.cat([super().of_rows(batch), self.inferring(batch)], 1)

    def of_codes(self, code: Tensor) -> Tensor:
        return torch.cat([super().of_codes(code), code], 1)

    def inferring(self, batch: Batch) -> Tensor:
        """Codes drawn given rows, `[rows, latent]`, differentiable in the encoder's parameters."""
        loc, scale = self.posterior(batch)
        return loc + scale * torch.randn_like(loc)
