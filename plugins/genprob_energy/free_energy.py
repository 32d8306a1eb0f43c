"""The free energy of units without scales, with its gradient written out: one product where autograd takes three."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import softplus


class FreeEnergy(torch.autograd.Function):
    """-log sum_h exp(-E(x, h)), differentiable in weight, visible and hidden biases only.

    E(x, h) = -d' weight (h - centre) - visible . d - hidden . h, of deviations d `[n, features]` of points from their
    offsets. With the hidden units' means P given x, the slope of sum_i g_i F(x_i) in the weights is D' diag(g)
    (centre - P) (Montavon and Mueller 2012), and minus D' g and P' g in the biases.

    Arguments:
        away: the deviations.
        pull: the hidden units' logits `[n, hidden]`, hidden + D weight, if they are known already.
    """

    @staticmethod
    def forward(
        ctx: Any, away: Tensor, pull: Tensor | None, weight: Tensor, visible: Tensor, hidden: Tensor, centre: Tensor
    ) -> Tensor:
        if pull is None:
            pull = torch.addmm(hidden, away, weight)
        ctx.save_for_backward(away, torch.sigmoid(pull), centre)
        return (pull @ centre - hidden @ centre) - away @ visible - softplus(pull).sum(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        away, active, centre = ctx.saved_tensors
        (slope,) = slopes
        weight = torch.mm(away.mT, (centre - active).mul_(slope[:, None]))
        return None, None, weight, -(slope @ away), -(slope @ active), None
