"""Do two samples part as a random division of their rows would?"""

from __future__ import annotations

import numpy as np

from genprob.metrics.energy import energy_distance
from genprob.metrics.score import Score


def permuted(
    name: str, units: str, between: np.ndarray, rows: int, permutations: int, seed: int
) -> tuple[Score, Score]:
    """An energy distance of the first `rows` items from the rest, and its p-value by permutation.

    The p-value is exact whatever the law: under the null each division of the items is as likely as any other.

    Arguments:
        name, units: of the distance.
        between: `[item, item]`, a distance of negative type between all items.
        rows: how many of the items are rows; the rest are draws.
        permutations: divisions that the p-value counts.
        seed: of the permutations.
    """
    rng = np.random.default_rng([seed, 2])
    first = np.arange(len(between)) < rows
    ways = np.stack([first, *(rng.permutation(first) for _ in range(permutations))])
    found, *chance = energy_distance(between, ways)
    p = (1 + sum(other >= found for other in chance)) / (1 + permutations)
    n = np.array(rows)
    return (
        Score(name, np.array(found), np.array(np.nan), n, units, "lower", ideal=0.0),
        Score("p_value", np.array(p), np.array(np.nan), n, "", "p-value"),
    )
