"""The importance-weighted bound of a Pyro model/guide pair."""

from __future__ import annotations

import math

import pyro
import torch
from torch import Tensor

from genprob.data.batch import Batch
from genprob.engine.blocks import Blocks
from genprob.engine.descend import Loss
from genprob.engine.losses.amortise import matching
from genprob.engine.losses.weights import rowwise, weights
from genprob.engine.move import Metrics
from genprob.errors import UsageError
from genprob.model import Model


def iwae(model: Model, *, k: int = 5, beta: float = 1.0, doubly: bool = True, amortise: float = 0.0) -> Loss:
    """Minus the k-sample bound in nats per row (Burda, Grosse and Salakhutdinov 2016).

    Arguments:
        k: draws of the guide per row; the bound rises to the evidence as it grows.
        beta: power of p(latents) / q(latents) in a weight; the loss bounds the evidence where it is 1.
        doubly: reparameterise the guide's gradient twice where beta is 1 (Tucker et al. 2019), which keeps its signal
            as k grows.
        amortise: weight of `matching`, with latents resampled by their weights.
    """
    checked: list[bool] = []
    doubly = doubly and beta == 1

    def loss(blocks: Blocks, batch: Batch | None) -> tuple[Tensor, Metrics]:
        assert batch is not None
        first = not checked
        if first:
            checked.append(rowwise(model, batch))
        if not checked[0]:
            raise UsageError(
                f"{type(model).__name__}: iwae needs latents that the guide draws row by row from laws whose draws "
                "have gradients; use elbo"
            )
        with pyro.validation_enabled(first):  # later, numbers that are none end the fit in words
            return _lowered(batch)

    def _lowered(batch: Batch) -> tuple[Tensor, Metrics]:
        drawn = weights(model, batch, k, stopped=doubly)
        if doubly and len(drawn.latents) > 1:
            raise UsageError(f"{type(model).__name__}: doubly needs a single latent site; set inference.doubly=false")
        log_weight = drawn.likelihood - beta * drawn.divergence
        bound = (torch.logsumexp(log_weight, 1) - math.log(k)).mean()
        share = torch.softmax(log_weight.detach(), 1)
        if doubly:
            for z in drawn.latents.values():
                _scale_gradient(z, share.reshape(-1))
        metrics = {"ess": 1 / share.square().sum(1).mean(), "likelihood": drawn.likelihood.mean()}
        value = -bound
        if amortise:
            chosen = torch.multinomial(share, 1)[:, 0] + k * torch.arange(len(share), device=share.device)
            metrics["matching"] = matching(model, batch, {name: z[chosen] for name, z in drawn.latents.items()})
            value = value + amortise * metrics["matching"]
        return value, metrics | {"bound": bound}

    return loss


def _scale_gradient(z: Tensor, factor: Tensor) -> None:
    """Multiplies each row of the gradient that comes back through `z`."""
    if z.requires_grad:
        z.register_hook(lambda gradient: gradient * factor.reshape(-1, *[1] * (z.ndim - 1)).to(gradient.dtype))
