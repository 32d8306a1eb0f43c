"""The gradient of an energy's log-likelihood, from points of the data and points of the model."""

from __future__ import annotations

from torch import Tensor

from genprob.data.batch import Batch
from genprob.engine.blocks import Blocks
from genprob.engine.capabilities import Energy
from genprob.engine.descend import Loss
from genprob.engine.move import Metrics


def contrastive(model: Energy, chains: str) -> Loss:
    """Mean energy of the rows minus that of the block `chains` (Younes 1989; Hinton 2002).

    Its gradient estimates that of the negative log-likelihood; its value, near 0 at the optimum, measures nothing.
    """

    def loss(blocks: Blocks, batch: Batch | None) -> tuple[Tensor, Metrics]:
        assert batch is not None
        data, own = model.energy(model.points(batch)).mean(), model.energy(blocks[chains].detach()).mean()
        return data - own, {"data_energy": data, "chain_energy": own}

    return loss
