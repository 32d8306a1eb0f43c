"""The accept step of Metropolis et al. (1953) and Hastings (1970)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from genprob.engine.kernels.density import widened


def accepted(gain: Tensor) -> tuple[Tensor, Tensor]:
    """Probabilities of acceptance and what was accepted, each chain by itself.

    Arguments:
        gain: log of the Hastings ratio, one per chain; NaN (a proposal outside the numbers) is never accepted.
    """
    chance = torch.nan_to_num(gain, nan=-math.inf).clamp(max=0.0).exp()
    return chance, torch.rand_like(chance) < chance


def chosen(mask: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """`new` for the chains of the mask, `old` for the others."""
    return torch.where(widened(mask, new.ndim), new, old)
