"""The code of a denoiser, its last hidden layer, and how much of it a point's neighbourhood moves."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def coded(network: nn.Sequential, points: Tensor) -> tuple[Tensor, Tensor]:
    """The last hidden layer `[n, units]` of a perceptron at points `[n, width]`, and `|d code / d point|^2`, `[n]`.

    The network takes the points and then one flag a number, whether it is known; NaN are holes, which nothing is
    differentiated by. The Jacobian is carried forwards layer by layer, so that its squared Frobenius norm is exact and
    can itself be differentiated (Rifai, Vincent, Muller, Glorot and Bengio 2011, Contractive auto-encoders).
    """
    width = points.shape[1]
    known = ~torch.isnan(points)
    layer = torch.cat([torch.where(known, points, 0.0), known.to(points.dtype)], 1)
    jacobian = torch.diag_embed(known.to(points.dtype))
    for number, part in enumerate(list(network)[:-1]):
        if isinstance(part, nn.Linear):
            layer = part(layer)
            jacobian = (part.weight if number else part.weight[:, :width]) @ jacobian
        else:
            gate = torch.sigmoid(layer)
            slope = gate * (1 + layer * (1 - gate))
            layer, jacobian = layer * gate, slope[:, :, None] * jacobian
    return layer, jacobian.square().sum((1, 2))
