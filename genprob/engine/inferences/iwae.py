"""Variational inference by the importance-weighted bound."""

from __future__ import annotations

from genprob.engine.descend import descent
from genprob.engine.losses.iwae import iwae as bound
from genprob.engine.program import Program
from genprob.errors import UsageError
from genprob.model import Model


def iwae(
    model: Model,
    *,
    k: int = 5,
    steps: int = 2000,
    lr: float = 2e-3,
    batch_size: int = 256,
    beta: float = 1.0,
    doubly: bool = True,
    amortise: float = 1.0,
    clip: float | None = 100.0,
    weight_decay: float = 0.0,
    holdout: float = 0.1,
    patience: int = 20,
    evaluate_every: int = 100,
    compile: bool = False,
) -> Program:
    """The k-sample bound on the evidence (Burda, Grosse and Salakhutdinov 2016), by AdamW.

    Arguments:
        k: draws of the guide per row; 1 is the evidence lower bound.
        steps: gradient steps.
        lr: peak learning rate; warmed up over the first twentieth, then half a cosine to zero.
        batch_size: rows of a step.
        beta: power of p(latents) / q(latents) in a weight; 1 is the bound itself.
        doubly: doubly reparameterised gradients of the guide (Tucker et al. 2019), where beta is 1 and there is a
            single latent site.
        amortise: weight of teaching the guide to serve any mask (Strauss and Oliva 2022), 0 for none.
        clip: largest gradient norm, None for no limit.
        weight_decay: decay of matrices.
        holdout: share of the rows kept to stop early by.
        patience: evaluations without a better held-out score before it stops.
        evaluate_every: steps between evaluations.
        compile: run the loss as a compiled graph, up to rounding the same: quicker steps after some seconds, where
            there is a C++ compiler.
    """
    if k < 1:
        raise UsageError(f"inference option k={k}: must be at least 1")
    move = descent(
        "iwae",
        bound(model, k=k, beta=beta, doubly=doubly, amortise=amortise),
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
