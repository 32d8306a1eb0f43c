"""Priors of a code: laws over the latent space, each a module that gives its distribution."""

from __future__ import annotations

import pyro.distributions as dist
import torch
from torch import Tensor, nn


class Standard(nn.Module):
    """Independent standard normals."""

    zero: Tensor

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.latent = latent
        self.register_buffer("zero", torch.zeros(latent))

    def law(self) -> dist.TorchDistribution:
        return dist.Normal(self.zero, torch.ones_like(self.zero)).to_event(1)


class Mixture(nn.Module):
    """A learned mixture of normals with diagonal covariances."""

    def __init__(self, latent: int, components: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(components))
        self.loc = nn.Parameter(torch.randn(components, latent))
        self.log_scale = nn.Parameter(torch.zeros(components, latent))

    def law(self) -> dist.TorchDistribution:
        return mixed(self.logits, self.loc, self.log_scale.exp())


def mixed(logits: Tensor, loc: Tensor, scale: Tensor) -> dist.TorchDistribution:
    """A mixture of diagonal normals: `logits [K]`, `loc` and `scale` `[K, latent]`."""
    return dist.MixtureSameFamily(dist.Categorical(logits=logits), dist.Normal(loc, scale).to_event(1))
