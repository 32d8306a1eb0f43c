"""The distance between the law of the joint and that of the rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from genprob.joint import Joint
from genprob.metrics.scale import deviations, distances, points
from genprob.metrics.score import Result
from genprob.request import whole
from genprob_metrics.permutation import permuted
from genprob_metrics.two_sample import LEAST_ROWS, alike


class EnergyDistance:
    """Energy distance of draws from rows, numbers in standard deviations, a differing label one such unit.

    Arguments:
        rows: at most so many rows, and as many draws with the same holes.
        permutations: of which the p-value counts.
        seed: of draws, rows and permutations.
    """

    def __init__(self, *, rows: int = 1000, permutations: int = 199, seed: int = 0) -> None:
        self.rows, self.permutations = whole("rows", rows, LEAST_ROWS), whole("permutations", permutations, 19)
        self.seed = whole("seed", seed, 0)

    def __call__(self, joint: Joint, data: Any) -> Result:
        _, real, fake = alike(joint, data, self.rows, self.seed)
        sd = deviations(real)
        both = np.concatenate([points(joint.schema, sample, sd) for sample in (real, fake)])
        # Rows without a known cell in common are at no distance: holes are the same on both sides.
        between = np.nan_to_num(distances(both, both))
        scores = permuted("energy_distance", "sd of the data", between, len(real), self.permutations, self.seed)
        return Result(scores, attrs={"rows": len(real), "permutations": self.permutations})
