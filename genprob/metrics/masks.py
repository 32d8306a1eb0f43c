"""Which known cells are hidden from a joint, stratified by the share that stays observed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genprob.data.schema import Schema
from genprob.errors import DataError, UsageError

SHARES = (0.25, 0.5, 0.75, 1.0)
"""Shares of a row's known cells that stay observed; 1 leaves one cell out."""


@dataclass(frozen=True, eq=False)
class Masks:
    """Cells hidden in some rows of a table.

    Attributes:
        rows: `[n]` positions of the rows, ascending.
        hidden: `[n, width]` bool, known cells to be asked; at least one a row.
        stratum: `[n]` index into the shares.
    """

    rows: np.ndarray
    hidden: np.ndarray
    stratum: np.ndarray

    @classmethod
    def random(cls, schema: Schema, values: np.ndarray, shares: Sequence[float], limit: int, seed: int) -> Masks:
        """Random masks of at most `limit` random rows of `[row, width]` values, as many rows for each share.

        They depend on names and not on the order of variables, so that joints of the same variables are asked alike.
        Rows with fewer than two known cells are passed over where there are more columns than one.
        """
        shares = checked(shares)
        known = ~np.isnan(values)
        fit = np.flatnonzero(known.sum(1) >= min(2, schema.width))
        if not len(fit):
            raise DataError("no row has two known cells, so none can be hidden and asked")
        rng = np.random.default_rng(seed)
        chosen = rng.permutation(fit)[:limit]
        stratum = np.arange(len(chosen)) % len(shares)
        order = np.argsort(chosen)
        rows, stratum = chosen[order], stratum[order]
        by_name = np.array(sorted(range(schema.width), key=lambda j: (schema.columns[j].name, j)))
        place = np.empty((len(rows), schema.width))
        place[:, by_name] = rng.random(place.shape)
        known = known[rows]
        count = known.sum(1)
        # Rounded at random, so that on average the share is met; one cell at least is hidden.
        kept = np.minimum(np.floor(np.array(shares)[stratum] * count + rng.random(len(rows))), count - 1)
        rank = np.where(known, place, np.inf).argsort(1).argsort(1)
        return cls(rows, known & (rank >= kept[:, None]), stratum)

    def parts(self, cells: np.ndarray, shares: Sequence[float]) -> list[np.ndarray]:
        """The rows of each share of `[n, ...]` numbers."""
        return [cells[self.stratum == k] for k in range(len(shares))]


def checked(shares: Sequence[float]) -> tuple[float, ...]:
    """The shares as numbers; `UsageError` unless they lie in [0, 1]."""
    try:
        numbers = tuple(float(share) for share in shares)
    except (TypeError, ValueError):
        raise UsageError(f"shares={shares!r}: expected numbers between 0 and 1, e.g. 0.25,0.5") from None
    if not numbers or not all(0 <= share <= 1 for share in numbers):
        raise UsageError(f"shares={shares!r}: expected numbers between 0 and 1, e.g. 0.25,0.5")
    return numbers
