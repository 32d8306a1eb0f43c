"""Losses of the two players of an adversarial game."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

from genprob.data.batch import Batch
from genprob.engine.blocks import Blocks
from genprob.engine.capabilities import Game
from genprob.engine.descend import Loss
from genprob.engine.move import Metrics

Contest = Literal["logistic", "wasserstein"]


def critic(model: Game, contest: Contest, penalty: float) -> Loss:
    """What the critic lowers, per row.

    `logistic` (Goodfellow et al. 2014) is penalised by the squared slope at the data (Mescheder et al. 2018),
    `wasserstein` (Arjovsky et al. 2017) by how far the slope between data and generated points exceeds 1 (Gulrajani
    et al. 2017, one-sided as in Petzka et al. 2018). A penalty on slopes below 1 too is a wall that the slope of a
    line cannot cross when the generator has passed the data: the critic would go on driving it away.
    """

    def loss(blocks: Blocks, batch: Batch | None) -> tuple[Tensor, Metrics]:
        assert batch is not None
        data = model.points(batch)
        with torch.no_grad():
            made = model.generate(len(data))
        if contest == "logistic":
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


def generator(model: Game, contest: Contest) -> Loss:
    """What the generator lowers, per point; for the logistic game the form that does not saturate."""

    def loss(blocks: Blocks, batch: Batch | None) -> Tensor:
        assert batch is not None
        score = model.judge(model.generate(len(batch)))
        return (softplus(-score) if contest == "logistic" else -score).mean()

    return loss


def _slope(score: Tensor, points: Tensor) -> Tensor:
    """The norm of the critic's gradient at each point, `[n]`."""
    (gradient,) = torch.autograd.grad(score.sum(), points, create_graph=True)
    return gradient.flatten(1).norm(dim=1)
