"""Normal scores: draws replaced by normal quantiles of their ranks."""

from __future__ import annotations

import torch
from torch import Tensor

from genprob.errors import UsageError


def checked(draws: Tensor) -> Tensor:
    """The draws as reals. Raises `UsageError` unless there are four or more of at least one chain."""
    if draws.ndim < 2 or draws.shape[0] < 4 or draws.shape[1] < 1:
        raise UsageError(f"draws of shape {tuple(draws.shape)}: [draw, chain, ...] with at least four draws are needed")
    return draws if draws.is_floating_point() else draws.to(torch.float64)


def split(draws: Tensor) -> Tensor:
    """Each chain cut in two halves, `[draw // 2, 2 chain, ...]`; of an odd number the middle draw is left out."""
    half = len(draws) // 2
    return torch.cat([draws[:half], draws[-half:]], 1)


def normal_scores(draws: Tensor) -> Tensor:
    """Ranks over draws and chains, ties sharing their mean, as normal quantiles (Blom 1958); NaN where any is.

    >>> normal_scores(torch.tensor([[3.0], [1.0], [2.0]]).double())[:, 0].round(decimals=2).tolist()
    [0.87, -0.87, 0.0]
    """
    flat = draws.flatten(0, 1).movedim(0, -1).contiguous()
    ordered, index = flat.sort(-1)
    count = flat.shape[-1]
    place = torch.arange(count, device=flat.device).expand(flat.shape)
    edge = torch.ones_like(ordered[..., :1], dtype=torch.bool)
    other = ordered[..., 1:] != ordered[..., :-1]
    # Chains that stand still make many ties: the first and the last place of each run, without a search for them.
    first = place.where(torch.cat([edge, other], -1), 0).cummax(-1).values
    last = place.where(torch.cat([other, edge], -1), count).flip(-1).cummin(-1).values.flip(-1)
    rank = 0.5 * (first + last).to(torch.float64) + 1
    score = torch.empty_like(rank).scatter_(-1, index, torch.special.ndtri((rank - 0.375) / (count + 0.25)))
    score = torch.where(flat.isnan().any(-1, keepdim=True), torch.nan, score)
    return score.to(draws.dtype).movedim(-1, 0).reshape(draws.shape)
