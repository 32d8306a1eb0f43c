"""Frequencies: how often the law that was fitted draws each value, beside the rows it was fitted to."""

from __future__ import annotations

import torch
from torch import Tensor

from genprob.data.batch import Batch
from genprob.data.support import Categorical

MOST_APART = 0.2
"""Total variation between a column's frequencies in draws and in rows that is worth a word: a few hundred draws of
many columns are off by less."""


def apart(points: Tensor, batch: Batch) -> str:
    """What to say of the discrete column whose frequencies in draws are farthest from the rows'; empty where all agree.

    Chains that stay where they are while a model is learned leave the shares of its modes to chance: each mode looks
    like rows, and one may have taken the mass of the others (Tieleman and Hinton 2009).

    Arguments:
        points: draws of the fitted law, `[n, width]`; not the chains it was learned with, which hide it.
        batch: the rows.
    """
    columns = [j for j, v in enumerate(batch.schema.columns) if v.cardinality is not None]
    most = max((batch.schema.columns[j].cardinality or 0 for j in columns), default=0)
    worst: tuple[float, int, int, float, float] = (MOST_APART, -1, 0, 0.0, 0.0)
    levels = torch.arange(most, device=points.device)
    for part in (columns[first : first + 64] for first in range(0, len(columns), 64)):
        known = batch.observed[:, part, None]
        drawn = (points[:, part, None] == levels).double().mean(0)
        seen = ((batch.values[:, part, None] == levels) & known).double().sum(0) / known.sum(0).clamp(min=1)
        away = torch.where(known.any(0), (drawn - seen).abs(), 0.0)
        far = 0.5 * away.sum(1)
        at = int(far.argmax())
        if float(far[at]) > worst[0]:
            level = int(away[at].argmax())
            worst = (float(far[at]), part[at], level, float(drawn[at, level]), float(seen[at, level]))
    far, column, level, drawn_share, seen_share = worst
    if column < 0:
        return ""
    variable = batch.schema.columns[column]
    value = repr(variable.support.levels[level]) if isinstance(variable.support, Categorical) else level
    return (
        f"{variable.name}: {100 * drawn_share:.0f} % of the fitted law's draws are {value}, of the rows "
        f"{100 * seen_share:.0f} % (total variation {far:.2f}): its chains did not mix while learning; fit with copies "
        "at higher temperatures (inference.temperatures=6), more transitions a step (inference.k=5) or a smaller rate "
        "(inference.lr=1e-3)"
    )
