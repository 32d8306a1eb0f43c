"""Reconstruction of rows from their corruption, or from where a walk has led."""

from __future__ import annotations

from torch import Tensor

from genprob.data.batch import Batch
from genprob.engine.blocks import Blocks
from genprob.engine.capabilities import Reconstructs
from genprob.engine.descend import Loss


def reconstruction(model: Reconstructs, walks: str | None = None) -> Loss:
    """Minus log p(row | corrupted walk), a mean over rows in nats (Vincent et al. 2008; Bengio et al. 2014).

    Arguments:
        model: what is trained.
        walks: block that holds where the walks from the rows have led, None for the rows themselves.
    """

    def loss(blocks: Blocks, batch: Batch | None) -> Tensor:
        assert batch is not None
        return model.reconstruction(model.begun(batch) if walks is None else blocks[walks], batch).mean()

    return loss
