"""Denoising score matching."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from genprob.data.batch import Batch
from genprob.engine.blocks import Blocks
from genprob.engine.capabilities import Score
from genprob.engine.descend import Loss


def denoising(model: Score, least: float, most: float) -> Loss:
    """Squared error of the score of noisy rows, times the variance of the noise, per row (Vincent 2011).

    Each row gets a standard deviation, log-uniform from `least` to `most` (Song and Ermon 2019 for the weight, which
    bounds the likelihood: Song et al. 2021). Points that are NaN are holes: the score of the other points is matched.
    """

    def loss(blocks: Blocks, batch: Batch | None) -> Tensor:
        assert batch is not None
        data = model.points(batch)
        share = torch.rand(len(data), dtype=data.dtype, device=data.device)
        noise = (math.log(least) + share * math.log(most / least)).exp()
        scale, unit = noise.reshape(-1, *[1] * (data.ndim - 1)), torch.randn_like(data)
        error = (scale * model.score(data + scale * unit, noise) + unit).square()
        return torch.where(torch.isnan(data), 0.0, error).flatten(1).sum(1).mean()

    return loss
