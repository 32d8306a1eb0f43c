"""Held-out log-likelihood."""

from __future__ import annotations

from typing import Any

import numpy as np

from genprob.joint import Joint
from genprob.metrics.asking import table
from genprob.metrics.score import Result, averaged
from genprob.request import whole


class LogLikelihood:
    """Mean of log p over rows, each by its known cells.

    Arguments:
        seed: of what has to be integrated by simulation.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = whole("seed", seed, 0)

    def __call__(self, joint: Joint, data: Any) -> Result:
        scored = joint.log_prob(data, seed=self.seed)
        known = table(joint, data).observed.any(1)  # of other rows log p is 0, which says nothing
        value, error = np.where(known, scored["log_prob"].values, np.nan), scored["standard_error"].values
        score = averaged(
            "log_likelihood",
            value,
            units="nats per row",
            better="higher",
            kind=str(scored.attrs["kind"]),
            measure=str(scored.attrs.get("measure", "")),
        )
        of_all = ("log_partition_se", "reliable", "reasons")  # they do not average away
        shared = {key: scored.attrs[key] for key in of_all if key in scored.attrs}
        return Result((score,), attrs=simulation(error) | shared)


def simulation(error: np.ndarray) -> dict[str, float]:
    """What simulation, apart from the choice of rows, leaves uncertain of a mean over rows."""
    return {"estimator_standard_error": float(np.sqrt((error**2).sum()) / max(len(error), 1))}
