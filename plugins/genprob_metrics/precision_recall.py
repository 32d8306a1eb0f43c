"""Are draws among the rows, and rows among the draws?"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from genprob.errors import DataError
from genprob.joint import Joint
from genprob.metrics.scale import distances
from genprob.metrics.score import Result, Score
from genprob.request import whole
from genprob_metrics.features import seen
from genprob_metrics.two_sample import LEAST_ROWS, alike


class PrecisionRecall:
    """Precision, recall, density and coverage of draws, by balls around points that reach their k-th neighbour.

    `precision` is the share of draws inside the ball of some row, `recall` of rows inside the ball of some draw
    (Kynkaanniemi et al. 2019, Improved precision and recall metric for assessing generative models). `density` is
    how many balls of rows a draw is in, over k, and `coverage` the share of rows whose ball holds a draw (Naeem et
    al. 2020, Reliable fidelity and diversity metrics for generative models): they are less moved by single odd rows.
    A joint that misses modes loses recall and coverage, one that makes what is no row precision and density.

    Arguments:
        k: neighbours.
        label: variable whose classifier, trained here, gives the space; None for the rows themselves.
        train: rows that the space is learned from, None for those that are compared.
        rows: at most so many rows, and as many draws with the same holes.
        seed: of draws, rows and classifier.
    """

    def __init__(
        self, *, k: int = 5, label: str | None = None, train: Any = None, rows: int = 2000, seed: int = 0
    ) -> None:
        self.k, self.label, self.train = whole("k", k, 1), label, train
        self.rows, self.seed = whole("rows", rows, LEAST_ROWS), whole("seed", seed, 0)

    def __call__(self, joint: Joint, data: Any) -> Result:
        _, real, fake = alike(joint, data, self.rows, self.seed)
        n = len(real)
        if n <= self.k:
            raise DataError(f"{n} rows have no {self.k} neighbours each; give more rows, or a smaller k")
        first, second, space = seen(joint, real, fake, self.train, self.label, self.seed)
        across = _comparable(first, second)
        of_rows, of_draws = _reach(first, self.k), _reach(second, self.k)
        inside = across <= of_rows[:, None]
        scores = (
            _mean("precision", inside.any(0)),
            _mean("recall", (across <= of_draws).any(1)),
            _mean("density", inside.sum(0) / self.k, 1.0),
            _mean("coverage", inside.any(1), _expected(n, self.k)),
        )
        return Result(scores, attrs={"rows": n, "k": self.k} | space.attrs())


def _comparable(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Distances; rows without a known cell in common are infinitely far."""
    between = distances(a, b)
    return np.where(np.isnan(between), np.inf, between)


def _reach(points: np.ndarray, k: int) -> np.ndarray:
    """Distance of each point to its k-th nearest other."""
    between = _comparable(points, points)
    np.fill_diagonal(between, np.inf)
    return np.partition(between, k - 1, axis=1)[:, k - 1]


def _expected(n: int, k: int) -> float:
    """Coverage of n rows by n draws of their own law: the k nearest of 2 n - 1 others are not all rows."""
    return 1 - math.exp(math.lgamma(n) - math.lgamma(n - k) - math.lgamma(2 * n) + math.lgamma(2 * n - k))


def _mean(name: str, cells: ArrayLike, ideal: float = math.nan) -> Score:
    each = np.asarray(cells, dtype=float)
    error = each.std(ddof=1) / math.sqrt(len(each))
    return Score(name, np.array(each.mean()), np.array(error), np.array(len(each)), "share", "higher", ideal=ideal)
