"""Plausibility: a quick density of rows, for the support of evidence; of the Gaussian and of the frequencies alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genprob.data.batch import Batch

if TYPE_CHECKING:
    from genprob_autoregressive.anyorder import ResidualAnyOrder


def score_rows(model: ResidualAnyOrder, batch: Batch) -> Tensor:
    """log p of the known cells of rows, the categories taken as independent, in data units; `[rows]`."""
    values, known = batch.values.double(), batch.observed
    return model.moments(values, known).log_density + torch.where(known, _each(model, values), 0.0).sum(1)


def score_masks(model: ResidualAnyOrder, batch: Batch, masks: Tensor) -> Tensor:
    """The same of rows seen through each of `[masks, width]`, `[masks, rows]`; holes count as what may be there.

    Were they left out, nearly every row would have a pattern of its own under every mask.
    """
    values, numbers = completed(model, batch), model.coordinates.columns
    score = model.base.log_density(model.coordinates.encode(values[:, numbers]), masks[:, numbers])
    return score + masks.to(score.dtype) @ _each(model, values).T


def completed(model: ResidualAnyOrder, batch: Batch) -> Tensor:
    """Rows whose holes are drawn given the rest of the row, always alike, `[rows, width]` in data units."""
    values, known = batch.values.double().clone(), batch.observed
    if bool(known.all()):
        return values
    numbers, generator = model.coordinates.columns, torch.Generator().manual_seed(0)
    y = model.base.completed(model.coordinates.encode(values[:, numbers]), known[:, numbers], generator)
    for c, j in enumerate(numbers):
        values[~known[:, j], j] = model.coordinates.decode(c, y[~known[:, j], c])
    for c, j in enumerate(model.levels.columns):
        share = model.levels.log_frequency[model.levels.slice(c)].exp()
        level = torch.multinomial(share.cpu(), len(values), replacement=True, generator=generator)
        values[:, j] = torch.where(known[:, j], values[:, j], level.to(values))
    return values


def _each(model: ResidualAnyOrder, values: Tensor) -> Tensor:
    """What each cell brings beside the Gaussian: how wide it is, or how frequent its level, `[rows, width]`."""
    out = torch.zeros_like(values)
    numbers, columns = model.coordinates.columns, model.levels.columns
    out[:, numbers] = model.coordinates.log_volume(values[:, numbers]) + torch.log(model.coordinates.grain)
    out[:, columns] = model.levels.log_frequency[values[:, columns].long() + model.levels.first]
    return out
