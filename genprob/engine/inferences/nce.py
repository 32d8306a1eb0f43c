"""Noise-contrastive estimation: no chain."""

from __future__ import annotations

from typing import cast

from genprob.engine.blocks import Blocks
from genprob.engine.capabilities import NoiseContrast, require
from genprob.engine.descend import descent
from genprob.engine.inferences.phases import COMPLETIONS, checking, completing, sound
from genprob.engine.losses.noise_contrastive import noise_contrastive
from genprob.engine.phase import Phase
from genprob.engine.program import Program
from genprob.model import Model


def nce(
    model: Model,
    *,
    steps: int = 2000,
    lr: float = 5e-3,
    batch_size: int = 512,
    clip: float | None = 100.0,
    weight_decay: float = 0.0,
) -> Program:
    """Noise-contrastive estimation of an energy (Gutmann and Hyvarinen 2010): rows are told from noise.

    Consistent for any noise that covers the data, efficient only for noise that is like them; in many dimensions
    it learns little.

    Arguments:
        steps: gradient steps.
        lr: peak learning rate; warmed up over the first twentieth, then half a cosine to zero.
        batch_size: rows of a step, and draws of noise.
        clip: largest gradient norm, None for no limit.
        weight_decay: decay of matrices.
    """
    require(model, NoiseContrast, "nce", "noise to tell rows from")
    energy = cast(NoiseContrast, model)
    filling = completing(energy)
    moves = (
        checking(energy, lambda points: sound(energy, points)),
        *filling,
        descent(
            "energy",
            noise_contrastive(energy, COMPLETIONS if filling else None),
            steps=steps,
            lr=lr,
            weight_decay=weight_decay,
            clip=clip,
            data="same",
        ),
    )
    return Program((Phase(moves, steps, name="nce"),), Blocks({"model": model}), "energy.loss", batch_size=batch_size)
