"""Soft points: rows, and what a generator makes, as vectors that a critic can be differentiated through."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from genprob.data.batch import Batch
from genprob.nets.dequantise import dequantised
from genprob.nets.heads import Heads

TEMPERATURE = 0.2
"""Of softened categories: they are nearly one-hot, and still have a gradient."""


def of_rows(heads: Heads, batch: Batch) -> Tensor:
    """`[rows, heads.width]`: encoded reals (rounded ones drawn from their cells), binaries, log counts, one-hots.

    Holes are 0.
    """
    values, observed = batch.values.double(), batch.observed
    reals, _ = dequantised(heads.encoder, heads.encoder.inside(values[:, heads.reals]))
    counts = torch.log1p(values[:, heads.counts]) - torch.log1p(heads.log_means(heads.offset).exp())
    parts = [heads.encoder.encode(reals), values[:, heads.binaries], counts]
    parts += [one_hot(values[:, j].long().clamp(0, size - 1), size).double() for j, size in heads.levels.items()]
    out = torch.cat(parts, 1) * spread(heads, observed)
    return out.to(torch.get_default_dtype())


def of_outputs(heads: Heads, outputs: Tensor) -> Tensor:
    """What a generator's numbers `[n, heads.width]` stand for, as draws with a gradient.

    Binaries and categories are drawn by softened Gumbel noise (Jang, Gu and Poole 2017; Maddison, Mnih and Teh 2017),
    whose hard form has the very law of the outputs; reals and counts are at their means.
    """
    shifted = heads.shifted(outputs)
    logits = heads.logits(shifted)
    counts = torch.log1p(heads.log_means(shifted).clamp(max=20.0).exp())
    parts = [
        heads.locations(shifted),
        torch.sigmoid((logits + _gumbel(logits) - _gumbel(logits)) / TEMPERATURE),
        counts - torch.log1p(heads.log_means(heads.offset).exp()).to(counts.dtype),
    ]
    for j in heads.levels:
        levels = heads.level_log_probs(shifted, j)
        parts.append(torch.softmax((levels + _gumbel(levels)) / TEMPERATURE, -1))
    return torch.cat(parts, 1)


def spread(heads: Heads, columns: Tensor) -> Tensor:
    """`[rows, schema.width]` spread over the numbers of a soft point, `[rows, heads.width]`."""
    order = [*heads.reals, *heads.binaries, *heads.counts]
    order += [j for j, size in heads.levels.items() for _ in range(size)]
    return columns[:, order]


def _gumbel(like: Tensor) -> Tensor:
    return -torch.log(-torch.log(torch.rand_like(like).clamp(1e-7, 1 - 1e-7)))
