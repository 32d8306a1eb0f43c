"""The gradient of an energy's log-likelihood, from points of the data and points of the model."""

from __future__ import annotations

import torch
from torch import Tensor

from genprob.data.batch import Batch
from genprob.engine.blocks import Blocks
from genprob.engine.capabilities import Energy, Lifts
from genprob.engine.descend import Loss
from genprob.engine.move import Metrics


def contrastive(
    model: Energy,
    chains: str,
    completions: str | None = None,
    *,
    noise: float = 0.0,
    decay: float = 0.0,
    lifted: Lifts | None = None,
) -> Loss:
    """Mean energy of the rows minus that of the block `chains` (Younes 1989; Hinton 2002).

    Its gradient estimates that of the negative log-likelihood; its value, near 0 at the optimum, measures nothing. The
    metrics tell the two phases apart: `positive` and `negative`, mean energies of rows and chains.

    Arguments:
        model: the energy.
        chains: block of the model's own points.
        completions: block with a point per row of the data, holes filled, instead of the model's points of rows.
        noise: standard deviation of noise on the rows.
        decay: weight of the mean squared energy of rows and chains, which keeps energies near 0.
        lifted: the model, if its chains are lifted points; energies are then up to a constant.
    """
    energy = model.energy if lifted is None else lifted.lifted_energy

    def loss(blocks: Blocks, batch: Batch | None) -> tuple[Tensor, Metrics]:
        assert batch is not None
        rows = model.points(batch) if completions is None else blocks[completions][batch.index]
        if noise:
            rows = rows + noise * torch.randn_like(rows)
        if lifted is not None:
            rows = lifted.lift(rows)
        # One call for both: what the energy makes of its parameters is made once, and products are larger.
        data, own = energy(torch.cat([rows, blocks[chains].detach()])).split([len(rows), len(blocks[chains])])
        value = data.mean() - own.mean()
        if decay:
            value = value + decay * (data.square().mean() + own.square().mean())
        return value, {"positive": data.mean(), "negative": own.mean()}

    return loss
