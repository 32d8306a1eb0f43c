"""Priors of a code: laws over the latent space, each a module that gives its distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from genprob.errors import UsageError

if TYPE_CHECKING:
    from genprob_variational.vae import VAE

Priors = Literal["normal", "mixture", "vamp", "flow"]


class Prior(nn.Module):
    """A law of the code."""

    def law(self) -> dist.TorchDistribution:
        """Over `[latent]`."""
        raise NotImplementedError

    def prepare(self, features: Tensor) -> None:
        """Sees what the encoder is shown of the training rows, `[rows, feature_width]`, before the first step."""


class Standard(Prior):
    """Independent standard normals."""

    zero: Tensor

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.register_buffer("zero", torch.zeros(latent))

    def law(self) -> dist.TorchDistribution:
        return dist.Normal(self.zero, torch.ones_like(self.zero)).to_event(1)


class Mixture(Prior):
    """A learned mixture of normals with diagonal covariances."""

    def __init__(self, latent: int, components: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(components))
        self.loc = nn.Parameter(torch.randn(components, latent))
        self.log_scale = nn.Parameter(torch.zeros(components, latent))

    def law(self) -> dist.TorchDistribution:
        return _mixed(self.logits, self.loc, self.log_scale.exp())


class Vamp(Prior):
    """The guide averaged over learned pseudo-inputs (Tomczak and Welling 2018, VAE with a VampPrior)."""

    def __init__(self, components: int, vae: VAE) -> None:
        super().__init__()
        self._vae = [vae]  # in a list, so that the encoder is no part of the prior
        self.logits = nn.Parameter(torch.zeros(components))
        self.inputs = nn.Parameter(torch.zeros(components, vae.feature_width))

    def prepare(self, features: Tensor) -> None:
        with torch.no_grad():
            chosen = torch.randint(len(features), (len(self.inputs),), device=features.device)
            self.inputs.copy_(features[chosen])

    def law(self) -> dist.TorchDistribution:
        return _mixed(self.logits, *self._vae[0].encode(self.inputs))


class Flow(Prior):
    """A neural spline flow from a standard normal (Durkan et al. 2019)."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        try:
            from zuko.flows import NSF
        except ImportError as error:
            raise UsageError("prior=flow needs the package zuko: pip install zuko") from error
        self.flow = NSF(latent, transforms=2, hidden_features=(32, 32))

    def law(self) -> dist.TorchDistribution:
        return Flowing(self.flow())


class Flowing(dist.TorchDistribution):
    """A law of zuko's as Pyro's sites take it."""

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012
    has_rsample = True
    support = dist.constraints.real_vector  # pyright: ignore

    def __init__(self, law: Any, batch_shape: torch.Size | None = None) -> None:
        self.law = law
        super().__init__(torch.Size() if batch_shape is None else batch_shape, law.event_shape, validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Flowing:
        return Flowing(self.law, torch.Size(batch_shape))

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        return self.law.rsample(torch.Size(sample_shape) + self.batch_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        return self.law.log_prob(value)


def make(name: Priors, latent: int, components: int, vae: VAE) -> Prior:
    """The prior of that name."""
    if name == "normal":
        return Standard(latent)
    if name == "mixture":
        return Mixture(latent, components)
    return Vamp(components, vae) if name == "vamp" else Flow(latent)


def _mixed(logits: Tensor, loc: Tensor, scale: Tensor) -> dist.TorchDistribution:
    """A mixture of diagonal normals: `logits [K]`, `loc` and `scale` `[K, latent]`."""
    return dist.MixtureSameFamily(dist.Categorical(logits=logits), dist.Normal(loc, scale).to_event(1))
