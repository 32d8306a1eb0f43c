"""Contest: two joints on rows that neither learned from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from genprob.joint import Joint

_CUT = 0.05
"""Share of the rows left out at either end: one row far from everything would decide alone."""


@dataclass(frozen=True)
class Contest:
    """Held-out log-probabilities of two models, in nats per row; the means are over the middle nine tenths of rows.

    Attributes:
        models: their names.
        scores: the mean log-probability of each, over the rows that their difference keeps.
        difference: the first less the second, `error` its standard error.
        rows: how many rows there were, `better` the share on which the first is ahead.
    """

    models: tuple[str, str]
    scores: tuple[float, float]
    difference: float
    error: float
    rows: int
    better: float

    @classmethod
    def of(cls, joints: dict[str, Joint], rows: xr.Dataset, seed: int) -> Contest:
        """The two joints, by name, on the same rows; both give a row in the same measures."""
        (first, ours), (second, theirs) = (
            (name, joint.log_prob(rows, seed=seed)["log_prob"].values) for name, joint in joints.items()
        )
        return cls._of_scores((first, second), ours, theirs)

    @classmethod
    def _of_scores(cls, models: tuple[str, str], ours: np.ndarray, theirs: np.ndarray) -> Contest:
        with np.errstate(invalid="ignore"):
            gap = ours - theirs
        gap = np.where(np.isnan(gap), 0.0, gap)  # both find the row impossible
        cut = int(_CUT * len(gap))
        middle = np.argsort(gap, kind="stable")[cut : len(gap) - cut]
        kept = gap[middle]
        return cls(
            models,
            (float(ours[middle].mean()), float(theirs[middle].mean())),
            float(kept.mean()),
            float(kept.std() / np.sqrt(len(kept))),
            len(gap),
            float((gap > 0).mean()),
        )

    @property
    def winner(self) -> str:
        """The first model if it leads by two standard errors, else the second, which has the benefit of the doubt."""
        return self.models[0] if self.difference > 2 * self.error else self.models[1]

    @property
    def line(self) -> str:
        """The contest in one line."""
        (first, second), (ours, theirs) = self.models, self.scores
        return (
            f"held-out nats per row: {first} {ours:.3f}, {second} {theirs:.3f}; difference {self.difference:+.3f} +- "
            f"{self.error:.3f} over the middle nine tenths of {self.rows} rows, {first} ahead on "
            f"{100 * self.better:.0f} %; {self.winner} is kept"
        )

    @property
    def record(self) -> dict[str, Any]:
        """What a run's configuration holds of it."""
        return {
            "held_out": dict(zip(self.models, self.scores, strict=True)),
            "difference": self.difference,
            "difference_se": self.error,
            "held_out_rows": self.rows,
            "kept": self.winner,
            "contest": self.line,
        }
