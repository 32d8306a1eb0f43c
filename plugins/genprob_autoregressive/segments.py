"""Segments: laws over the levels of many columns, laid side by side."""

from __future__ import annotations

import torch
from torch import Tensor


def log_softmax(logits: Tensor, segment: Tensor, columns: int) -> Tensor:
    """Logits `[n, total]` normalised within each of the columns' segments."""
    index = segment.expand_as(logits)
    blank = logits.new_full((len(logits), columns), -torch.inf)
    peak = blank.scatter_reduce(1, index, logits.detach(), "amax")
    shifted = logits - peak.gather(1, index)
    mass = torch.zeros_like(blank).scatter_add(1, index, shifted.exp())
    return shifted - torch.log(mass).gather(1, index)


def one_hot(levels: Tensor, known: Tensor, first: Tensor, total: int) -> Tensor:
    """Indicators `[n, total]` of `levels [n, columns]` where `known`, zero elsewhere."""
    out = torch.zeros(len(levels), total, dtype=torch.get_default_dtype(), device=levels.device)
    return out.scatter_(1, first + levels, known.to(out.dtype))
