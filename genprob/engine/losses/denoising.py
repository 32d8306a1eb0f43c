"""Denoising score matching, and the matching of velocities."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from genprob.data.batch import Batch
from genprob.engine.blocks import Blocks
from genprob.engine.capabilities import Auxiliary, Score
from genprob.engine.descend import Loss

Match = Literal["score", "velocity"]


def denoising(model: Score, least: float, most: float, match: Match = "score") -> Loss:
    """Squared error of the score of noisy rows, times the variance of the noise, per row (Vincent 2011).

    `score`: each row gets a standard deviation, log-uniform from `least` to `most` (Song and Ermon 2019 for the
    weight, which bounds the likelihood: Song et al. 2021). `velocity` is conditional flow matching along straight
    lines (Lipman et al. 2023): at a time t, uniform from 1 / (1 + most) to 1 / (1 + least), the point
    t x + (1 - t) e is to move with the velocity x - e. That point over t is x seen with noise of standard deviation
    (1 - t) / t, so that velocity and score are one network and one flow; times and weights of errors differ.

    Points that are NaN are holes: the score of the other points is matched. What an `Auxiliary` model lowers besides
    is added.
    """
    penalised = model if isinstance(model, Auxiliary) else None  # a protocol is slow to ask: once, not every step

    def loss(blocks: Blocks, batch: Batch | None) -> Tensor:
        assert batch is not None
        data = model.points(batch)
        share = torch.rand(len(data), dtype=data.dtype, device=data.device)
        if match == "score":
            noise = (math.log(least) + share * math.log(most / least)).exp()
            weight = torch.ones_like(noise)
        else:
            first, last = 1 / (1 + most), 1 / (1 + least)
            time = first + share * (last - first)
            noise = (1 - time) / time
            # The velocity is (denoised point - point) / (1 - t): its error is that of s * score, times s / (1 - t).
            weight = (1 / time).square()
        scale, unit = noise.reshape(-1, *[1] * (data.ndim - 1)), torch.randn_like(data)
        error = (scale * model.score(data + scale * unit, noise) + unit).square()
        value = (weight * torch.where(torch.isnan(data), 0.0, error).flatten(1).sum(1)).mean()
        return value if penalised is None else value + penalised.auxiliary(batch).mean()

    return loss
