"""Quantiles of draws, however many: `torch.quantile` refuses more than 16 million numbers."""

from __future__ import annotations

import math

from torch import Tensor


def quantile(values: Tensor, probability: float) -> Tensor:
    """The quantile along the first dimension, between neighbours by straight lines."""
    ordered = values.sort(0).values
    place = probability * (len(values) - 1)
    low = math.floor(place)
    return ordered[low].lerp(ordered[min(low + 1, len(values) - 1)], place - low)
