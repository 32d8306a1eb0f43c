"""Does the joint repeat its training rows?"""

from __future__ import annotations

from typing import Any

import numpy as np

from genprob.joint import Joint
from genprob.metrics.asking import table
from genprob.metrics.neighbours import closeness, nearest
from genprob.metrics.scale import deviations, points
from genprob.metrics.score import Result, Score, averaged
from genprob.request import whole
from genprob_metrics.training import training_rows
from genprob_metrics.two_sample import LEAST_ROWS, alike


class Memorisation:
    """Distances of draws to their nearest training row beside those of held-out rows.

    `nearer` is the probability that a draw lies nearer than a held-out row: one half for an honest joint, more for
    one that repeats its training rows (or whose draws are too concentrated). `copies` is the share of draws that
    repeat a training row, beyond that of held-out rows.

    Arguments:
        train: the training rows.
        rows: at most so many held-out rows, and as many draws with the same holes.
        seed: of draws and rows.
    """

    def __init__(self, *, train: Any = None, rows: int = 2000, seed: int = 0) -> None:
        self.train = training_rows(train)
        self.rows, self.seed = whole("rows", rows, LEAST_ROWS), whole("seed", seed, 0)

    def __call__(self, joint: Joint, data: Any) -> Result:
        chosen, held_out, draws = alike(joint, data, self.rows, self.seed)
        train = table(joint, self.train).values
        sd = deviations(train)
        seen = points(joint.schema, train, sd)
        near_draws, near_rows = (nearest(points(joint.schema, x, sd), seen) for x in (draws, held_out))
        found = closeness(near_draws, near_rows)
        n = np.array(len(draws))
        copied = (near_draws < _SAME).astype(float) - (near_rows < _SAME)
        return Result(
            (
                Score("nearer", np.array(found.nearer), np.array(found.error), n, "probability", "nearer", ideal=0.5),
                Score("p_value", np.array(found.p_value), np.array(np.nan), n, "", "p-value"),
                averaged("copies", copied, units="share", better="lower", ideal=0.0),
            ),
            rows=chosen,
            details={"distance_of_draws": (("draw",), near_draws), "distance_of_rows": (("row",), near_rows)},
            attrs={"rows": len(held_out), "training_rows": len(train)},
        )


_SAME = 1e-7
"""Distances, in standard deviations, below which two rows are one."""
