"""The pseudo-likelihood: every variable given all others."""

from __future__ import annotations

from torch import Tensor

from genprob.data.batch import Batch
from genprob.engine.blocks import Blocks
from genprob.engine.capabilities import PseudoLikelihood
from genprob.engine.descend import Loss


def pseudo_likelihood(model: PseudoLikelihood, completions: str | None = None) -> Loss:
    """Minus the mean log pseudo-likelihood of rows, in nats (Besag 1975); an upper bound of nothing.

    Arguments:
        model: the energy.
        completions: block with a point per row of the data, holes filled, instead of the model's points of rows.
    """

    def loss(blocks: Blocks, batch: Batch | None) -> Tensor:
        assert batch is not None
        rows = model.points(batch) if completions is None else blocks[completions][batch.index]
        return -model.log_pseudo_likelihood(rows).mean()

    return loss
