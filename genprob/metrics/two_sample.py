"""Can a classifier tell two samples apart?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

_MOST_CATEGORIES = 255
"""That the boosted trees of scikit-learn take as such; more are taken as numbers."""


@dataclass(frozen=True)
class Discrimination:
    """How well a classifier told two samples apart on `n` rows it had not seen, with the p-value of doing so well."""

    accuracy: float
    p_value: float
    n: int


def classifier_test(
    first: np.ndarray, second: np.ndarray, cardinality: np.ndarray, *, rounds: int = 100, seed: int = 0
) -> Discrimination:
    """Classifier two-sample test of `[row, column]` against `[row, column]` of equally many rows.

    Boosted trees learn on half of either sample and are tested on the other halves. Under the null the labels of
    the test rows are exchangeable, so the permutation law of the accuracy is hypergeometric and the p-value exact
    (Lopez-Paz and Oquab, "Revisiting classifier two-sample tests", 2017; Fisher's test of the predictions).

    Arguments:
        first, second: the samples, NaN for holes, which the trees see as such.
        cardinality: `[column]` number of labels of a categorical column, 0 of a numeric one.
        rounds: of boosting.
        seed: of the split.
    """
    from scipy import stats
    from sklearn.ensemble import HistGradientBoostingClassifier

    rng = np.random.default_rng(seed)
    half = len(first) // 2
    parts = [sample[rng.permutation(len(sample))] for sample in (first, second)]
    learn = np.concatenate([part[half:] for part in parts])
    label = np.repeat([0, 1], [len(parts[0]) - half, len(parts[1]) - half])
    about: dict[str, Any] = {
        "categorical_features": (cardinality > 0) & (cardinality <= _MOST_CATEGORIES),
        "early_stopping": False,
        "random_state": int(rng.integers(2**31)),
    }
    trees = HistGradientBoostingClassifier(max_iter=rounds, **about).fit(learn, label)
    # Even chances are called at random: a classifier that learnt nothing must not always say the same.
    chance = [trees.predict_proba(part[:half])[:, 1] + 1e-9 * (rng.random(half) - 0.5) for part in parts]
    said_first, said_second = (int((p < 0.5).sum()) for p in chance)
    right = said_first + half - said_second
    # Of 2 half rows, said_first + said_second were called `first`; how many of them by chance truly are?
    p = stats.hypergeom.sf(said_first - 1, 2 * half, half, said_first + said_second)
    return Discrimination(right / (2 * half), float(p), 2 * half)
