"""Denoising score matching."""

from __future__ import annotations

from typing import cast

from genprob.engine.blocks import Blocks
from genprob.engine.capabilities import Noises, Reconstructs, Score, require
from genprob.engine.descend import descent
from genprob.engine.inferences.phases import checking, sound_score
from genprob.engine.losses.denoising import Match, denoising
from genprob.engine.losses.reconstruction import reconstruction
from genprob.engine.phase import Phase
from genprob.engine.program import Program
from genprob.errors import UsageError
from genprob.model import Model


def dsm(
    model: Model,
    *,
    steps: int = 2000,
    least: float | None = None,
    most: float | None = None,
    match: Match = "score",
    lr: float = 2e-3,
    batch_size: int = 512,
    clip: float | None = 100.0,
    weight_decay: float = 0.0,
) -> Program:
    """Denoising score matching (Vincent 2011) over a range of noises; reconstruction where corruption is the model's.

    Arguments:
        steps: gradient steps.
        least: smallest standard deviation of the noise, in the units of the model's points; None for the model's
            own, or 0.05.
        most: largest standard deviation of the noise; None for the model's own, or 2.
        lr: peak learning rate; warmed up over the first twentieth, then half a cosine to zero.
        batch_size: rows of a step.
        clip: largest gradient norm, None for no limit.
        weight_decay: decay of matrices.
    """
    if isinstance(model, Reconstructs):
        loss, first = reconstruction(model), ()
    else:
        require(model, Score, "dsm", "a score")
        score, (low, high) = cast(Score, model), _noises(model, least, most)
        loss = denoising(score, low, high, match)
        first = (checking(score, lambda points: sound_score(score, points, high)),)
    moves = (*first, descent("dsm", loss, steps=steps, lr=lr, weight_decay=weight_decay, clip=clip))
    return Program((Phase(moves, steps, name="dsm"),), Blocks({"model": model}), "dsm.loss", batch_size=batch_size)


def _noises(model: Model, least: float | None, most: float | None) -> tuple[float, float]:
    own = model.noises if isinstance(model, Noises) else (0.05, 2.0)
    least, most = own[0] if least is None else least, own[1] if most is None else most
    if not 0 < least <= most:
        raise UsageError(f"least={least}, most={most}: noises must be positive, the least first")
    return least, most
