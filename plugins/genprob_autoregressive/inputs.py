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
        self, moments: Moments, known: Tensor, hot: Tensor, told: Tensor, log_frequency: Tensor, held: Tensor
    ) -> Tensor:
        """`[rows, width + atoms]` float32.

        Arguments:
            moments: of the Gaussian, whose means of known numbers are the numbers.
            known: `[rows, numbers]` which numbers are known.
            hot: `[rows, levels]` indicators of known categories.
            told: `[rows, categories]` which categories are known.
            log_frequency: `[rows, levels]`, zero at levels of known categories.
            held: `[rows, atoms]` indicators of the atoms that known numbers are.
        """
        mean, flags = moments.mean.clamp(-FARTHEST, FARTHEST).float(), known.float()
        shown = mean * flags
        lower = self.knots[:, :-1].float()
        width = (self.knots[:, 1:] - self.knots[:, :-1]).clamp(min=1e-4).float()
        steps = ((shown[..., None] - lower) / width).clamp_(0.0, 1.0) * flags[..., None]
        parts = [
            shown,
            flags,
            steps.flatten(1),
            mean - shown,
            torch.log(moments.sd.float()) * (1 - flags),
            moments.surprise.float(),
            hot,
            told.float(),
            log_frequency,
            held,
        ]
        return torch.cat(parts, 1)
