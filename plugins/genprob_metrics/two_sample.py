"""Draws of the joint against rows, told apart by a classifier."""

from __future__ import annotations

from typing import Any

import numpy as np

from genprob.errors import DataError
from genprob.joint import Joint
from genprob.metrics.asking import sampled, table
from genprob.metrics.score import Result, Score
from genprob.metrics.two_sample import classifier_test
from genprob.request import whole

LEAST_ROWS = 8


class TwoSample:
    """Accuracy of boosted trees that tell draws of the joint from rows, on rows they have not seen.

    One half is what guessing achieves. As many draws are made as there are rows, with the rows' holes.

    Arguments:
        rows: at most so many rows.
        rounds: of boosting.
        seed: of draws, of the rows and of their split.
    """

    def __init__(self, *, rows: int = 4000, rounds: int = 100, seed: int = 0) -> None:
        self.rows, self.rounds = whole("rows", rows, LEAST_ROWS), whole("rounds", rounds, 1)
        self.seed = whole("seed", seed, 0)

    def __call__(self, joint: Joint, data: Any) -> Result:
        _, real, fake = alike(joint, data, self.rows, self.seed)
        cardinality = np.array([v.cardinality or 0 for v in joint.schema.columns])
        found = classifier_test(real, fake, cardinality, rounds=self.rounds, seed=self.seed)
        error, n = np.sqrt(found.accuracy * (1 - found.accuracy) / found.n), np.array(found.n)
        return Result(
            (
                Score("accuracy", np.array(found.accuracy), np.array(error), n, "share", "lower", ideal=0.5),
                Score("p_value", np.array(found.p_value), np.array(np.nan), n, "", "p-value"),
            ),
            attrs={"rows": len(real)},
        )


def alike(joint: Joint, data: Any, limit: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions of at most `limit` rows with something known, those rows, and as many draws with the same holes."""
    values = table(joint, data).values
    known = np.flatnonzero(~np.isnan(values).all(1))
    if len(known) < LEAST_ROWS:
        raise DataError(f"{len(known)} rows have a known cell; a comparison with draws needs {LEAST_ROWS} at least")
    chosen = np.sort(np.random.default_rng(seed).permutation(known)[:limit])
    real = values[chosen]
    return chosen, real, np.where(np.isnan(real), np.nan, sampled(joint, len(real), seed))
