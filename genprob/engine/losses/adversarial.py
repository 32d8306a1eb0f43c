"""Losses of the two players of an adversarial game."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

from genprob.data.batch import Batch
from genprob.engine.blocks import Blocks
from genprob.engine.capabilities import Game, Infers
from genprob.engine.descend import Loss
from genprob.engine.move import Metrics

Contest = Literal["logistic", "original", "wasserstein"]
Choice = Callable[[Batch], Batch]


def everyone(batch: Batch) -> Batch:
    """All rows of a batch."""
    return batch


def critic(model: Game, contest: Contest, penalty: float, rows: Choice = everyone) -> Loss:
    """What the critic lowers, per row of those that play.

    `logistic` and `original` (Goodfellow et al. 2014) are penalised by the squared slope at the data (Mescheder et
    al. 2018), `wasserstein` (Arjovsky et al. 2017) by how far the slope between data and generated points exceeds 1
    (Gulrajani et al. 2017, one-sided as in Petzka et al. 2018). A penalty on slopes below 1 too is a wall that the
    slope of a line cannot cross when the generator has passed the data: the critic would go on driving it away.
    """

    def loss(blocks: Blocks, batch: Batch | None) -> tuple[Tensor, Metrics]:
        assert batch is not None
        played = rows(batch)
        with torch.no_grad():
            data = model.points(played)
            made = model.generate(len(played))
        if contest != "wasserstein":
            at = data.detach().requires_grad_()
            real, fake = model.judge(at), model.judge(made)
            value = (softplus(-real) + softplus(fake)).mean()
            return value + 0.5 * penalty * _slope(real, at).square().mean(), {"margin": (real - fake).mean()}
        real, fake = model.judge(data), model.judge(made)
        share = torch.rand_like(real).reshape(-1, *[1] * (data.ndim - 1))
        at = (share * data + (1 - share) * made).detach().requires_grad_()
        away = (_slope(model.judge(at), at) - 1).clamp(min=0).square().mean()
        return (fake - real).mean() + penalty * away, {"margin": (real - fake).mean()}

    return loss


def generator(model: Game, contest: Contest, rows: Choice = everyone) -> Loss:
    """What the generator lowers, per point.

    `original` is the minimax game itself, whose gradient vanishes when the critic is sure; `logistic` the form that
    does not saturate. A model that `Infers` makes its pairs of both sides: it also lowers what gives its data away.
    """
    infers = isinstance(model, Infers)  # a protocol is slow to ask: once, not every step

    def wins(score: Tensor) -> Tensor:
        if contest == "wasserstein":
            return -score.mean()
        return (softplus(-score) if contest == "logistic" else -softplus(score)).mean()

    def loss(blocks: Blocks, batch: Batch | None) -> Tensor:
        assert batch is not None
        played = rows(batch)
        value = wins(model.judge(model.generate(len(played))))
        return value + wins(-model.judge(model.points(played))) if infers else value

    return loss


def accuracy(model: Game, data: Batch) -> Tensor:
    """Share of rows, and of as many generated points, on the right side of the median of the critic's scores.

    One half is the end of the game: the critic tells nothing apart.
    """
    real, fake = model.judge(model.points(data)), model.judge(model.generate(len(data)))
    middle = torch.cat([real, fake]).quantile(0.5)
    return 0.5 * ((real > middle).float().mean() + (fake <= middle).float().mean())


def _slope(score: Tensor, points: Tensor) -> Tensor:
    """The norm of the critic's gradient at each point, `[n]`."""
    (gradient,) = torch.autograd.grad(score.sum(), points, create_graph=True)
    return gradient.flatten(1).norm(dim=1)
