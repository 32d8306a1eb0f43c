"""What densities known up to a constant integrate to, told by the chains that were drawn from them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from genprob.metrics.partition import bridge

_RIDGE = 1e-8
"""Variance added to that of each coordinate, as a share of it: chains may stand still in some."""


@torch.no_grad()
def bridged(log_density: Callable[[Tensor], Tensor], seen: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """log of the integral of exp(log_density) of Q problems and its standard error, `[Q]` each.

    Half of what chains have seen fits a normal; from as many draws of it as there are others, the two laws are bridged
    (Bennett 1976; Meng and Wong 1996, Simulating ratios of normalizing constants via a simple identity). Without bias
    in the limit whatever the law is like; precise where it is one cloud. Half of the difference between even and odd
    chains, which begin elsewhere, joins the error. NaN where chains have left the support.

    Arguments:
        log_density: `[Q, J, width] -> [Q, J]` up to a constant.
        seen: `[S, Q, chains, width]` positions of Markov chains, far apart enough to be taken for independent.
    """
    _, queries, chains, width = seen.shape
    parts = seen.movedim(0, 1)  # [Q, S, chains, width]
    fit, rest = (parts[:, first::2].reshape(queries, -1, width) for first in (0, 1))
    mean = fit.mean(1, keepdim=True)
    off = fit - mean
    covariance = off.mT @ off / fit.shape[1]
    scale = covariance.diagonal(dim1=-2, dim2=-1)
    factor = torch.linalg.cholesky(covariance + torch.diag_embed(_RIDGE * scale + 1e-30))
    noise = torch.randn_like(rest)
    drawn = mean + noise @ factor.mT
    half = 0.5 * torch.log(torch.tensor(2 * torch.pi)) * width + factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    back = torch.linalg.solve_triangular(factor, (rest - mean).mT, upper=False).mT
    forward = log_density(drawn) + 0.5 * noise.square().sum(-1) + half[:, None]
    backward = -0.5 * back.square().sum(-1) - half[:, None] - log_density(rest)
    ahead, behind = forward.cpu().numpy(), backward.cpu().numpy()
    lost = ~np.isfinite(behind).all(1) | ~np.isfinite(ahead).any(1)
    ahead[lost], behind[lost] = 0.0, 0.0
    value, error = bridge(ahead, behind)
    odd = np.arange(rest.shape[1]) % chains % 2 == 1
    first, second = (bridge(ahead, behind[:, half])[0] for half in (~odd, odd)) if chains > 1 else (value, value)
    value, error = np.where(lost, np.nan, value), np.hypot(error, 0.5 * (first - second))
    return value, np.where(lost, np.nan, error)
