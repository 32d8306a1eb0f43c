"""Maximum likelihood: gradient ascent on the log-density."""

from __future__ import annotations

from typing import Literal, cast

import torch

from genprob.engine.capabilities import LogDensity, Recommends, require
from genprob.engine.descend import Descend, descent
from genprob.engine.losses.likelihood import likelihood
from genprob.engine.program import Program
from genprob.model import Model

_USUAL = {
    "steps": 2000, "lr": 1e-2, "batch_size": 512, "clip": 100.0, "weight_decay": 0.0, "ema": 0.0, "holdout": 0.1,
}  # fmt: skip


def ml(
    model: Model,
    *,
    steps: int | None = None,
    lr: float | None = None,
    batch_size: int | None = None,
    optimizer: Literal["adam", "lbfgs"] = "adam",
    accumulate: int = 1,
    clip: float | None = None,
    weight_decay: float | None = None,
    ema: float | None = None,
    holdout: float | None = None,
    patience: int = 20,
    evaluate_every: int = 100,
) -> Program:
    """Maximum likelihood of a model with a log-density, by AdamW or by L-BFGS (Liu and Nocedal 1989).

    What is left out is as the model recommends, else as said here.

    Arguments:
        steps: gradient steps, 2000; of L-BFGS, iterations of up to 20 evaluations each.
        lr: peak learning rate of adam, 0.01; warmed up over the first twentieth, then half a cosine to zero.
        batch_size: rows of a step of adam, 512.
        optimizer: adam, or lbfgs on all rows with a line search (takes no heed of lr, batch size, clip and decay).
        accumulate: pieces that a batch is split into, where memory is short.
        clip: largest gradient norm, 100; inf for no limit.
        weight_decay: decay of matrices, 0.
        ema: decay of a moving average of the parameters, which becomes the answer; 0 for none.
        holdout: share of the rows kept to stop early by, 0.1.
        patience: evaluations without a better held-out score before it stops.
        evaluate_every: steps between evaluations.
    """
    require(model, LogDensity, "ml", "a log-density")
    loss, writes = likelihood(cast(LogDensity, model)), frozenset({"model.*"})
    said = {
        "steps": steps, "lr": lr, "batch_size": batch_size, "clip": clip, "weight_decay": weight_decay, "ema": ema,
        "holdout": holdout,
    }  # fmt: skip
    recommended = model.recipe.get("ml", {}) if isinstance(model, Recommends) else {}
    chosen = {**_USUAL, **recommended, **{name: value for name, value in said.items() if value is not None}}
    horizon = int(chosen["steps"])
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
        move = descent(
            "ml",
            loss,
            steps=horizon,
            lr=chosen["lr"],
            weight_decay=chosen["weight_decay"],
            clip=chosen["clip"],
            ema=chosen["ema"] or None,
            accumulate=accumulate,
        )
    return Program.descending(
        model,
        move,
        horizon,
        batch_size=int(chosen["batch_size"]),
        holdout=chosen["holdout"],
        patience=patience,
        evaluate_every=evaluate_every,
    )
