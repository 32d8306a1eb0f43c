"""The evidence lower bound of a Pyro model/guide pair."""

from __future__ import annotations

from pyro.infer import TraceEnum_ELBO
from torch import Tensor

from genprob.data.batch import Batch
from genprob.engine.blocks import Blocks
from genprob.engine.descend import Loss
from genprob.model import Model


def elbo(model: Model, *, particles: int = 1) -> Loss:
    """Negative ELBO in nats per row of the whole data (Jordan et al. 1999; Kingma and Welling 2014).

    Discrete sites marked for parallel enumeration are summed out exactly. One ELBO object serves one run, since it
    remembers the plate nesting of its first model.
    """
    bound = TraceEnum_ELBO(num_particles=particles, max_plate_nesting=1, strict_enumeration_warning=False)

    def loss(blocks: Blocks, batch: Batch | None) -> Tensor:
        assert batch is not None
        return bound.differentiable_loss(model.model, model.guide, batch) / batch.total

    return loss
