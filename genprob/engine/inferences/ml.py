"""Maximum likelihood: gradient ascent on the log-density."""

from __future__ import annotations

from typing import Literal, cast

import torch

from genprob.engine.blocks import Blocks
from genprob.engine.capabilities import LogDensity, require
from genprob.engine.descend import Descend, adam, warmup_cosine
from genprob.engine.losses.likelihood import likelihood
from genprob.engine.phase import Phase
from genprob.engine.program import Program
from genprob.model import Model


def ml(
    model: Model,
    *,
    steps: int = 2000,
    lr: float = 1e-2,
    batch_size: int = 512,
    optimizer: Literal["adam", "lbfgs"] = "adam",
    accumulate: int = 1,
    clip: float | None = 100.0,
    weight_decay: float = 0.0,
    holdout: float = 0.1,
    patience: int = 20,
    evaluate_every: int = 100,
) -> Program:
    """Maximum likelihood of a model with a log-density, by AdamW or by L-BFGS (Liu and Nocedal 1989).

    Arguments:
        steps: gradient steps; of L-BFGS, iterations of up to 20 evaluations each.
        lr: peak learning rate of adam; warmed up over the first twentieth, then half a cosine to zero.
        batch_size: rows of a step of adam.
        optimizer: adam, or lbfgs on all rows with a line search (takes no heed of lr, batch size, clip and decay).
        accumulate: pieces that a batch is split into, where memory is short.
        clip: largest gradient norm, None for no limit.
        weight_decay: decay of matrices.
        holdout: share of the rows kept to stop early by.
        patience: evaluations without a better held-out score before it stops.
        evaluate_every: steps between evaluations.
    """
    require(model, LogDensity, "ml", "a log-density")
    loss, writes = likelihood(cast(LogDensity, model)), frozenset({"model.*"})
    if optimizer == "lbfgs":
        move = Descend(
            "ml",
            writes,
            loss,
            lambda parameters: torch.optim.LBFGS(parameters, line_search_fn="strong_wolfe"),
            accumulate=accumulate,
            data="full",
        )
    else:
        move = Descend(
            "ml",
            writes,
            loss,
            adam(lr, weight_decay),
            warmup_cosine(),
            clip=clip,
            accumulate=accumulate,
            horizon=steps,
        )
    return Program(
        (Phase((move,), steps, name="ml"),),
        Blocks({"model": model}),
        "ml.loss",
        batch_size=batch_size,
        holdout=holdout,
        patience=patience,
        evaluate_every=evaluate_every,
    )
