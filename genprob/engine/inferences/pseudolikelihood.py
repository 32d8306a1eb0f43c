"""Pseudo-likelihood: no chain, no partition function."""

from __future__ import annotations

from typing import cast

from genprob.engine.blocks import Blocks
from genprob.engine.capabilities import PseudoLikelihood, require
from genprob.engine.descend import descent
from genprob.engine.inferences.phases import COMPLETIONS, centring, completing
from genprob.engine.losses.pseudo_likelihood import pseudo_likelihood
from genprob.engine.phase import Phase
from genprob.engine.program import Program
from genprob.model import Model


def pseudolikelihood(
    model: Model,
    *,
    steps: int = 1000,
    lr: float = 1e-2,
    batch_size: int = 256,
    clip: float | None = 100.0,
    weight_decay: float = 0.0,
) -> Program:
    """Maximum pseudo-likelihood of an energy over discrete variables (Besag 1975).

    Consistent, and cheaper than chains; less efficient where variables hang together closely. Holes are sampled given
    what their rows know, by a chain per row.

    Arguments:
        steps: gradient steps.
        lr: peak learning rate; warmed up over the first twentieth, then half a cosine to zero.
        batch_size: rows of a step.
        clip: largest gradient norm, None for no limit.
        weight_decay: decay of matrices.
    """
    require(model, PseudoLikelihood, "pseudolikelihood", "every variable's law given all others")
    energy = cast(PseudoLikelihood, model)
    filling = completing(energy)
    moves = (
        *filling,
        *centring(energy),
        descent(
            "energy",
            pseudo_likelihood(energy, COMPLETIONS if filling else None),
            steps=steps,
            lr=lr,
            weight_decay=weight_decay,
            clip=clip,
            data="same",
        ),
    )
    phases = (Phase(moves, steps, name="pseudolikelihood"),)
    return Program(phases, Blocks({"model": model}), "energy.loss", batch_size=batch_size)
