"""Dequantisation: values of rounded reals spread over their cells."""

from __future__ import annotations

import torch
from torch import Tensor

from genprob.data.encoders import Encoder


def dequantised(encoder: Encoder, values: Tensor) -> tuple[Tensor, Tensor]:
    """Reals with each rounded one drawn uniformly from its cell, and log of the widths of the cells.

    A density of the drawn values, averaged over draws and times the widths, estimates the probability of the cells
    without bias (Theis, van den Oord and Bethge 2016, A note on the evaluation of generative models).

    Arguments:
        encoder: of the columns.
        values: `[..., columns]` float64, data units.

    Returns `[..., columns]` data units within the supports, and `[..., columns]` nats, 0 where nothing was rounded.
    """
    if not any(encoder.cells):
        return values, torch.zeros_like(values)
    out, log_width = values.clone(), torch.zeros_like(values)
    for c, cell in enumerate(encoder.cells):
        if cell is None:
            continue
        below, above = (torch.as_tensor(e, device=values.device) for e in cell.edges(values[..., c].cpu().numpy()))
        if c in encoder.positive:
            below = below.clamp(min=0.0)
        elif c in encoder.bounded:
            below, above = below.clamp(min=float(encoder.lower[c])), above.clamp(max=float(encoder.upper[c]))
        share = torch.rand_like(below).clamp(1e-6, 1 - 1e-6)
        out[..., c] = below + share * (above - below)
        log_width[..., c] = (above - below).log()
    return out, log_width
