"""Inputs: what the network is shown of a partly known row."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genprob_autoregressive.gaussian import Moments

BINS = 16
FARTHEST = 20.0
"""Numbers further out, in standard deviations, look alike to the network; the Gaussian sees them as they are."""


class Inputs(nn.Module):
    """Features of rows, holes zero and flagged.

    Known numbers as they are and in a piecewise-linear encoding by quantile bins (Gorishniy, Rubachev and Babenko
    2022, On embeddings for numerical features), with the Gaussian's leave-one-out surprise; the Gaussian's mean and
    log sd at unknown ones; known categories as indicators; log frequencies at unknown ones; a flag per column.
    """

    knots: Tensor
    log_frequency: Tensor

    def __init__(self, numbers: int, categories: int, levels: int) -> None:
        super().__init__()
        self.width = numbers * (5 + BINS) + categories + 2 * levels
        self.register_buffer("knots", torch.linspace(-2, 2, BINS + 1, dtype=torch.float64).repeat(numbers, 1))

    def fit(self, y: Tensor, known: Tensor) -> None:
        """Places the bins at quantiles of `[rows, columns]` coordinates where `known`."""
        share = torch.linspace(0, 1, BINS + 1, dtype=y.dtype, device=y.device)
        for c in range(y.shape[1]):
            if bool(known[:, c].any()):
                self.knots[c] = torch.quantile(y[known[:, c], c], share)

    def forward(
        self, y: Tensor, known: Tensor, moments: Moments, hot: Tensor, told: Tensor, log_frequency: Tensor
    ) -> Tensor:
        """`[rows, width]` float32.

        Arguments:
            y, known: `[rows, numbers]` coordinates, and which of them are known.
            moments: of the Gaussian given them.
            hot: `[rows, levels]` indicators of known categories.
            told: `[rows, categories]` which categories are known.
            log_frequency: `[rows, levels]`, zero at levels of known categories.
        """
        shown = torch.where(known, y, 0.0).clamp(-FARTHEST, FARTHEST).float()
        flags = known.float()
        lower = self.knots[:, :-1].float()
        width = (self.knots[:, 1:] - self.knots[:, :-1]).clamp(min=1e-4).float()
        steps = ((shown[..., None] - lower) / width).clamp_(0.0, 1.0) * flags[..., None]
        parts = [
            shown,
            flags,
            steps.flatten(1),
            torch.where(known, 0.0, moments.mean).clamp(-FARTHEST, FARTHEST).float(),
            torch.where(known, 0.0, torch.log(moments.sd)).float(),
            moments.surprise.float(),
            hot.float(),
            told.float(),
            log_frequency.float(),
        ]
        return torch.cat(parts, 1)
