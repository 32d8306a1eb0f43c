"""The evidence lower bound of a Pyro model/guide pair."""

from __future__ import annotations

import pyro
from pyro.infer import TraceEnum_ELBO
from torch import Tensor

from genprob.data.batch import Batch
from genprob.engine.blocks import Blocks
from genprob.engine.capabilities import Auxiliary
from genprob.engine.descend import Loss
from genprob.engine.losses.amortise import matching
from genprob.engine.losses.weights import guided, rowwise, weights
from genprob.engine.move import Metrics
from genprob.errors import UsageError
from genprob.model import Model


def elbo(model: Model, *, particles: int = 1, beta: float = 1.0, amortise: float = 0.0) -> Loss:
    """Negative ELBO in nats per row of the whole data (Jordan et al. 1999; Kingma and Welling 2014).

    Where every latent is drawn row by row from laws whose draws have gradients, the divergence of normals from
    normals is taken itself. Otherwise Pyro's bound is used: discrete sites marked for parallel enumeration are summed
    out exactly, others have the gradient of their score. One loss serves one run, since it remembers which.

    Arguments:
        beta: weight of the divergence (Higgins et al. 2017); the loss bounds the evidence where it is 1.
        amortise: weight of `matching`, which teaches the guide to serve any mask; no heed where it draws nothing.
    """
    general = TraceEnum_ELBO(num_particles=particles, max_plate_nesting=1, strict_enumeration_warning=False)
    plain: list[bool] = []

    def loss(blocks: Blocks, batch: Batch | None) -> Tensor | tuple[Tensor, Metrics]:
        assert batch is not None
        first = not plain
        if first:
            plain.append(rowwise(model, batch))
        with pyro.validation_enabled(first):  # later, numbers that are none end the fit in words
            return _lowered(batch)

    def _lowered(batch: Batch) -> tuple[Tensor, Metrics]:
        if not plain[0]:
            if beta != 1:
                raise UsageError(f"{type(model).__name__}: beta needs latents that are drawn, each in its row")
            with model.emitting("one"):
                bound = -general.differentiable_loss(model.model, model.guide, batch) / batch.total
            return _with_company(model, batch, -bound, {"bound": bound}, guided(model, batch) if amortise else {})
        drawn = weights(model, batch, particles, analytic=True)
        likelihood, divergence = drawn.likelihood.mean(), drawn.divergence.mean()
        value = beta * divergence - likelihood
        metrics = {"likelihood": likelihood, "divergence": divergence}
        return _with_company(model, batch, value, metrics, {n: z[::particles] for n, z in drawn.latents.items()})

    def _with_company(
        model: Model, batch: Batch, value: Tensor, metrics: dict[str, Tensor], latents: dict[str, Tensor]
    ) -> tuple[Tensor, Metrics]:
        """The loss with what is lowered besides the bound."""
        if amortise and latents:
            metrics["matching"] = matching(model, batch, latents)
            value = value + amortise * metrics["matching"]
        if isinstance(model, Auxiliary):
            metrics["auxiliary"] = model.auxiliary(batch).mean()
            value = value + metrics["auxiliary"]
        return value, metrics

    return loss
