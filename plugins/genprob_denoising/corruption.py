"""Corruption of rows by support, and what a denoiser is shown of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from genprob.data.batch import Batch
from genprob.nets.heads import Heads


@dataclass(frozen=True)
class Corruption:
    """Noise on every cell of a row, each by itself.

    Reals get Gaussian noise in encoded coordinates; binaries, categories and counts are replaced, now and then, by the
    value that another row has (salt and pepper, where there are two values); any cell may be hidden (masking).

    Arguments:
        sigma: standard deviation of the Gaussian noise, in those of the data.
        replace: probability that a discrete cell is replaced.
        hide: probability that a cell is hidden.
    """

    sigma: float
    replace: float
    hide: float

    def __call__(self, heads: Heads, values: Tensor, observed: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        """Rows `[n, width]` and which of their cells are known, corrupted; `others [m, width]` lend their values."""
        values = values.double().clone()
        if heads.reals and self.sigma:
            encoder, x = heads.encoder, values[:, heads.reals]
            z = encoder.encode(encoder.inside(x))
            values[:, heads.reals] = encoder.decode(z + self.sigma * torch.randn_like(z))
        discrete = torch.ones(values.shape[1], dtype=torch.bool, device=values.device)
        discrete[heads.reals] = False
        lent = others.gather(0, torch.randint(len(others), values.shape, device=values.device))
        swap = (torch.rand(values.shape, device=values.device) < self.replace) & discrete
        values = torch.where(swap, lent.to(values.dtype), values)
        return values, observed & (torch.rand(values.shape, device=values.device) >= self.hide)


def shown(heads: Heads, values: Tensor, observed: Tensor) -> Tensor:
    """What a network is shown of rows, `[n, heads.feature_width]`."""
    index = torch.arange(len(values), device=values.device)
    return heads.features(Batch(heads.schema, values, observed, index, len(values)))
