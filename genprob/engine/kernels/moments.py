"""Running moments of positions, over steps and chains, by query."""

from __future__ import annotations

import torch
from torch import Tensor

from genprob.engine.state import Memory


def nothing(position: Tensor, lead: int, *, dense: bool) -> Memory:
    """Moments of no position at all."""
    mean = torch.zeros_like(position.select(lead - 1, 0))
    width = mean.flatten(lead - 1).shape[-1]
    squares = mean.new_zeros(*mean.shape[: lead - 1], width, width) if dense else torch.zeros_like(mean)
    return {"count": 0, "mean": mean, "squares": squares}


def seen(position: Tensor, memory: Memory, lead: int, *, dense: bool) -> Memory:
    """The moments with all chains of a step added (Chan et al. 1979)."""
    count, chains = memory["count"], position.shape[lead - 1]
    mean = position.mean(lead - 1)
    off, within = mean - memory["mean"], position - mean.unsqueeze(lead - 1)
    share = count * chains / (count + chains)
    if dense:
        flat, within = off.flatten(lead - 1), within.flatten(lead)
        added = within.mT @ within + share * flat.unsqueeze(-1) * flat.unsqueeze(-2)
    else:
        added = within.square().sum(lead - 1) + share * off.square()
    return {
        "count": count + chains,
        "mean": memory["mean"] + off * chains / (count + chains),
        "squares": memory["squares"] + added,
    }


def scale(memory: Memory, lead: int, *, dense: bool) -> Tensor:
    """Standard deviations, or the Cholesky factor of the covariance, drawn towards small values as in Stan."""
    count = memory["count"]
    variance = memory["squares"] / (count - 1) * (count / (count + 5))
    small = 5e-3 / (count + 5)
    if not dense:
        return (variance + small).sqrt()
    unit = torch.eye(variance.shape[-1], dtype=variance.dtype, device=variance.device)
    return torch.linalg.cholesky(variance + small * unit)
