"""Variational inference: gradient ascent on the evidence lower bound."""

from __future__ import annotations

from genprob.engine.descend import descent
from genprob.engine.losses.elbo import elbo as bound
from genprob.engine.program import Program
from genprob.model import Model


def elbo(
    model: Model,
    *,
    steps: int = 2000,
    lr: float = 1e-2,
    batch_size: int = 512,
    particles: int = 1,
    beta: float = 1.0,
    amortise: float = 0.0,
    clip: float | None = 100.0,
    weight_decay: float = 0.0,
    holdout: float = 0.1,
    patience: int = 20,
    evaluate_every: int = 100,
    compile: bool = False,
) -> Program:
    """Stochastic variational inference of a model/guide pair (Hoffman et al. 2013), by AdamW.

    Arguments:
        steps: gradient steps.
        lr: peak learning rate; warmed up over the first twentieth, then half a cosine to zero.
        batch_size: rows of a step.
        particles: samples of the guide per row.
        beta: weight of the divergence from the prior (Higgins et al. 2017); 1 is the bound itself.
        amortise: weight of teaching the guide to serve any mask (Strauss and Oliva 2022), 0 for none.
        clip: largest gradient norm, None for no limit.
        weight_decay: decay of matrices.
        holdout: share of the rows kept to stop early by.
        patience: evaluations without a better held-out score before it stops.
        evaluate_every: steps between evaluations.
        compile: run the loss as a compiled graph, up to rounding the same: quicker steps after some seconds, where
            there is a C++ compiler.
    """
    move = descent(
        "elbo",
        bound(model, particles=particles, beta=beta, amortise=amortise),
        steps=steps,
        lr=lr,
        weight_decay=weight_decay,
        clip=clip,
        compiled=batch_size if compile else 0,
    )
    return Program.descending(
        model,
        move,
        steps,
        batch_size=batch_size,
        holdout=holdout,
        patience=patience,
        evaluate_every=evaluate_every,
    )
