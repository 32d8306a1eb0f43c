"""Filling: rows whose holes are drawn given the rest of the row, by the network as it stands."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from genprob.data.batch import Batch
from genprob.query.paths import Paths, walk

if TYPE_CHECKING:
    from genprob_autoregressive.anyorder import ResidualAnyOrder


@torch.no_grad()
def filled(model: ResidualAnyOrder, batch: Batch, member: int) -> Batch:
    """The batch without holes, those of each row drawn in a random order as a member sees them.

    Learning from such rows is a stochastic EM (Celeux and Diebolt 1985): where holes depend on what is seen, a
    variable's law given less than that is learned too. Rows of which nothing is known stay as they are.
    """
    some = torch.nonzero((~batch.observed).any(1) & batch.observed.any(1))[:, 0]
    if not len(some):
        return batch
    values, known = batch.values.double().clone(), batch.observed.clone()
    nothing = torch.zeros(len(some), 1, dtype=torch.float64, device=values.device)
    each = Paths(values[some], known[some], torch.full_like(some, member), nothing.long(), nothing)
    values[some] = walk(model, each, each.contexts(model), nothing.long(), ~known[some])
    known[some] = True
    return replace(batch, values=values.to(batch.values.dtype), observed=known)
