"""Which modes do draws cover, how well, and how evenly?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from genprob.errors import DataError, UsageError
from genprob.joint import Joint
from genprob.metrics.asking import sampled, table
from genprob.metrics.scale import numeric
from genprob.metrics.score import Result, Score, averaged
from genprob.request import whole


@dataclass(frozen=True, eq=False)
class Covered:
    """Draws beside modes.

    Attributes:
        mode: the nearest mode of each draw.
        good: whether the draw lies within reach of it.
        count: good draws of each mode.
    """

    mode: np.ndarray
    good: np.ndarray
    count: np.ndarray

    @property
    def modes(self) -> int:
        """Modes with a good draw."""
        return int((self.count > 0).sum())

    def divergence(self, share: np.ndarray) -> float:
        """KL(good draws over modes || share) in nats, infinite where a mode without share has draws."""
        of = self.count / max(1, self.count.sum())
        held = of > 0
        with np.errstate(divide="ignore"):
            return float((of[held] * np.log(of[held] / share[held])).sum())


def covered(draws: np.ndarray, centres: np.ndarray, within: float) -> Covered:
    """Draws `[n, width]` at the nearest of `centres [modes, width]`, good within a distance of it.

    >>> covered(np.array([[0.1], [0.2], [5.0]]), np.array([[0.0], [1.0]]), 0.5).count
    array([2, 0])
    """
    away = np.sqrt(np.maximum((draws**2).sum(1)[:, None] + (centres**2).sum(1) - 2 * draws @ centres.T, 0.0))
    nearest, good = away.argmin(1), away.min(1) <= within
    return Covered(nearest, good, np.bincount(nearest[good], minlength=len(centres)))


class Modes:
    """Modes with a draw near them, the share of draws near one, and how unevenly modes are drawn.

    `modes` counts centres with a good draw, `good` is the share of draws within reach of their nearest centre,
    `reverse_kl` the divergence of good draws over modes from the data's rows over modes, in nats (half a row is
    added to each mode).

    Arguments:
        centres: the modes: data with a row each, numbers only; variables that it lacks do not count.
        within: a draw is good within this distance of its mode, in data units.
        draws: how many draws.
        seed: of the draws.
    """

    def __init__(self, *, centres: Any = None, within: float = 1.0, draws: int = 2500, seed: int = 0) -> None:
        if centres is None:
            raise UsageError("needs the modes: centres=DATA, a row for each")
        if not 0 < within < np.inf:
            raise UsageError(f"within={within}: a distance is a positive number")
        self.centres, self.within = centres, within
        self.draws, self.seed = whole("draws", draws, 1), whole("seed", seed, 0)

    def __call__(self, joint: Joint, data: Any) -> Result:
        centres = table(joint, self.centres).values
        used = numeric(joint.schema) & ~np.isnan(centres).any(0)
        if not used.any():
            raise DataError("centres: no number is known of all modes; a mode is a row of numbers")
        rows, centres = table(joint, data).values[:, used], centres[:, used]
        rows = rows[~np.isnan(rows).any(1)]
        if not len(rows):
            raise DataError("no row has all the numbers that the modes have")
        drawn, real = (
            covered(sample, centres, self.within) for sample in (sampled(joint, self.draws, self.seed)[:, used], rows)
        )
        share = (real.count + 0.5) / (real.count + 0.5).sum()
        n, none = np.array(self.draws), np.array(np.nan)
        good = averaged("good", drawn.good.astype(float), units="share", better="higher", ideal=float(real.good.mean()))
        return Result(
            (
                Score("modes", np.array(float(drawn.modes)), none, n, "modes", "higher", ideal=float(real.modes)),
                Score("good", good.value, good.error, n, "share", "higher", ideal=good.ideal),
                Score("reverse_kl", np.array(drawn.divergence(share)), none, n, "nats", "lower", ideal=0.0),
            ),
            coords={"mode": list(range(len(centres)))},
            details={"draws_of_mode": (("mode",), drawn.count), "rows_of_mode": (("mode",), real.count)},
            attrs={"within": self.within, "rows": len(rows)},
        )
