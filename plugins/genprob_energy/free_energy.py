"""The free energy of units without scales, with its gradient written out: one product where autograd takes three."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import softplus


class FreeEnergy(torch.autograd.Function):
    """-log sum_h exp(-E(x, h)) of points `[n, features]`, differentiable in weight, visible and hidden biases only.

    Biases are those of centred units, E(x, h) = -(x - offset)' weight (h - centre) - visible . x - hidden . h up to the
    offsets' constant. With the hidden units' means P given x, the slope of sum_i g_i F(x_i) in the weights is
    X' diag(g) (centre - P) + offset (P' g)' (Montavon and Mueller 2012), and minus X' g and P' g in the biases.
    """

    @staticmethod
    def forward(
        ctx: Any, points: Tensor, weight: Tensor, visible: Tensor, hidden: Tensor, offset: Tensor, centre: Tensor
    ) -> Tensor:
        logits = torch.addmm(hidden - offset @ weight, points, weight)
        ctx.save_for_backward(points, torch.sigmoid(logits), offset, centre)
        return -(points @ (visible - weight @ centre)) - softplus(logits).sum(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        points, active, offset, centre = ctx.saved_tensors
        (slope,) = slopes
        activity = slope @ active
        weight = torch.mm(points.mT, (centre - active).mul_(slope[:, None])).addr_(offset, activity)
        return None, weight, -(slope @ points), -activity, None, None
