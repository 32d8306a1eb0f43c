"""Cover of central intervals by column and by how much of a row was given."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import binom

from benchmarks.peers import Floats

LEAST = 100
"""Hidden cells without which a group is not judged."""


def cells_within(pits: Floats, shares: Floats, edges: Sequence[float], slack: float) -> tuple[int, int, float]:
    """How many (column, share observed) cells cover within `slack` of .8, of how many, and what perfect ones would.

    Arguments:
        pits: `[row, column]` randomised ranks of truths among draws, NaN where a cell was given.
        shares: `[row]` share of each row's cells that was given.
        edges: between the groups of shares.
        slack: allowed distance of the cover of the central 80 % interval.
    """
    good, chances = 0, []
    group = np.digitize(shares, edges)
    for k in range(len(edges) + 1):
        for column in pits[group == k].T:
            known = column[~np.isnan(column)]
            if len(known) >= LEAST:
                inside = int((np.abs(known - 0.5) <= 0.4).sum())
                low, high = (0.8 - slack) * len(known), (0.8 + slack) * len(known)
                good += low <= inside <= high
                chances.append(
                    binom.cdf(np.floor(high), len(known), 0.8) - binom.cdf(np.ceil(low) - 1, len(known), 0.8)
                )
    return good, len(chances), float(np.mean(chances)) if chances else 0.0
