"""The network of a diffusion: a denoiser that sees how much noise there is."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from genprob.nets.mlp import mlp

_FREQUENCIES = 8
_WAVES = (2.0, 4.0, 8.0, 16.0)
"""Waves of each number, in radians a standard deviation: plain networks are slow to learn fine detail."""


class Denoiser(nn.Module):
    """The mean of clean points given noisy ones, `D(x, s) = x / (1 + s^2) + s / sqrt(1 + s^2) F(x / sqrt(1 + s^2), s)`.

    Points of unit spread give the network inputs and targets of unit spread at every noise (Karras, Aittala, Aila
    and Laine 2022, Elucidating the design space of diffusion-based generative models).

    Arguments:
        width: numbers of a point; NaN among them are holes, of which the network is told.
        hidden: sizes of its layers.
    """

    def __init__(self, width: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.network = mlp(2 * width * (1 + len(_WAVES)) + 2 * _FREQUENCIES + 1, hidden, width)

    def forward(self, points: Tensor, noise: Tensor) -> Tensor:
        """`[n, width]` and `[n]` to `[n, width]`."""
        noise = noise[:, None]
        total = (1 + noise**2).sqrt()
        known = ~torch.isnan(points)
        x = torch.where(known, points, 0.0)
        level = noise.log() / 4
        turns = level * 2.0 ** torch.arange(_FREQUENCIES, dtype=x.dtype, device=x.device)
        waves = torch.tensor(_WAVES, dtype=x.dtype, device=x.device)
        phase = x[:, :, None] * waves
        # As strong as they are on average over the noise: what it has washed out is not shown (Tancik et al. 2020).
        left = torch.exp(-0.5 * (noise * waves) ** 2)[:, None]
        fine = [(left * wave).flatten(1) for wave in (phase.sin(), phase.cos())]
        shown = torch.cat([x / total, known.to(x.dtype), level, turns.sin(), turns.cos(), *fine], 1)
        return x / total**2 + noise / total * self.network(shown)
