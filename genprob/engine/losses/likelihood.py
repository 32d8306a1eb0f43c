"""The negative log-likelihood."""

from __future__ import annotations

from torch import Tensor

from genprob.data.batch import Batch
from genprob.engine.blocks import Blocks
from genprob.engine.capabilities import LogDensity
from genprob.engine.descend import Loss


def likelihood(model: LogDensity) -> Loss:
    """Minus the mean log-density of rows, in nats."""

    def loss(blocks: Blocks, batch: Batch | None) -> Tensor:
        assert batch is not None
        return -model.log_density(batch).mean()

    return loss
