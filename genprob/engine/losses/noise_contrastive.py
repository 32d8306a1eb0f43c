"""Noise contrast: telling rows from noise whose density is known."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus

from genprob.data.batch import Batch
from genprob.engine.blocks import Blocks
from genprob.engine.capabilities import NoiseContrast
from genprob.engine.descend import Loss
from genprob.engine.move import Metrics


def noise_contrastive(model: NoiseContrast, completions: str | None = None) -> Loss:
    """The logistic loss of rows against as many draws of the model's noise (Gutmann and Hyvarinen 2010).

    The energy's constant is learned too, so that exp(-energy) is about normalised where the loss is least.
    """

    def loss(blocks: Blocks, batch: Batch | None) -> tuple[Tensor, Metrics]:
        assert batch is not None
        rows = model.points(batch) if completions is None else blocks[completions][batch.index]
        drawn = model.draw_noise(len(rows)).detach()
        data = -model.energy(rows) - model.log_noise(rows)
        noise = -model.energy(drawn) - model.log_noise(drawn)
        told = {"rows_known": (data > 0).to(data.dtype).mean(), "noise_known": (noise < 0).to(data.dtype).mean()}
        return softplus(-data).mean() + softplus(noise).mean(), told

    return loss
