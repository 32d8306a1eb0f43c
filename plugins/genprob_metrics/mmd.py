"""The distance between draws and rows in the space of a kernel."""

from __future__ import annotations

from typing import Any

import numpy as np

from genprob.errors import UsageError
from genprob.joint import Joint
from genprob.metrics.scale import distances
from genprob.metrics.score import Result
from genprob.request import whole
from genprob_metrics.features import seen
from genprob_metrics.permutation import permuted
from genprob_metrics.two_sample import LEAST_ROWS, alike


class MMD:
    """Squared maximum mean discrepancy of draws from rows under a Gaussian kernel, without bias.

    Arguments:
        width: of the kernel; None for the median distance between all points.
        label: variable whose classifier, trained here, gives the space; None for the rows themselves.
        train: rows that the space is learned from, None for those that are compared.
        rows: at most so many rows, and as many draws with the same holes.
        permutations: of which the p-value counts.
        seed: of draws, rows, classifier and permutations.
    """

    def __init__(
        self,
        *,
        width: float | None = None,
        label: str | None = None,
        train: Any = None,
        rows: int = 1000,
        permutations: int = 199,
        seed: int = 0,
    ) -> None:
        if width is not None and not 0 < width < np.inf:
            raise UsageError(f"width={width}: a kernel's width is a positive number")
        self.width, self.label, self.train = width, label, train
        self.rows, self.permutations = whole("rows", rows, LEAST_ROWS), whole("permutations", permutations, 19)
        self.seed = whole("seed", seed, 0)

    def __call__(self, joint: Joint, data: Any) -> Result:
        _, real, fake = alike(joint, data, self.rows, self.seed)
        first, second, space = seen(joint, real, fake, self.train, self.label, self.seed)
        both = np.concatenate([first, second])
        between = np.nan_to_num(distances(both, both))
        width = self.width or float(np.median(between[~np.eye(len(both), dtype=bool)])) or 1.0
        # Minus a kernel is a distance of negative type, whose energy distance is the squared discrepancy.
        kernel = np.exp(-0.5 * (between / width) ** 2)
        scores = permuted("mmd", "squared", -kernel, len(real), self.permutations, self.seed)
        attrs = {"rows": len(real), "permutations": self.permutations, "width": width}
        return Result(scores, attrs=attrs | space.attrs())
