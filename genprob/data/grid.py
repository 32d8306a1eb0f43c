"""The decimal grid that values lie on: which rounding a column of reals has been through."""

from __future__ import annotations

import math

import numpy as np

from genprob.data.measure import Cell

DECIMALS = 6
_ODDS = 1000.0  # against chance, before a step coarser than the last decimal is believed


def decimal_grid(values: np.ndarray) -> Cell | None:
    """The coarsest grid `offset + k * delta` that holds all values bit for bit; None if 6 decimals do not.

    The grid has the smallest number of decimals that writes every value exactly; a step of several units of the last
    decimal is taken if so many distinct values would share it by chance once in a thousand times at most.

    Arguments:
        values: distinct finite values, at least one; float32 is read as the shortest decimals that round to it.

    >>> decimal_grid(np.array([0.23, 0.3, 1.01]))
    Cell(delta=0.01, offset=0.0)
    >>> decimal_grid(np.arange(10) + 0.5)
    Cell(delta=1.0, offset=0.5)
    >>> decimal_grid(np.array([np.pi]))
    """
    # A few values first: most columns without a grid show it at once.
    if _decimals(_decimal(values[:100])) is None:
        return None
    exact = _decimal(values)
    decimals = _decimals(exact)
    if decimals is None:
        return None
    unit = 10**decimals
    units = np.rint(exact * unit).astype(np.int64)
    if values.dtype == np.float32 and np.abs(units).max() >= 10**6:  # float32 itself rounds to about 7 digits
        return None
    # Two values always share a step, their difference; each further one does by chance in 1 of `step` cases.
    step = int(np.gcd.reduce(units - units[0]))
    if step == 0 or math.log(step) * (len(units) - 2) < math.log(_ODDS):
        return Cell(1 / unit)
    return Cell(step / unit, int(units[0]) % step / unit)


def _decimal(values: np.ndarray) -> np.ndarray:
    return values.astype(str).astype(np.float64) if values.dtype == np.float32 else values.astype(np.float64)


def _decimals(values: np.ndarray) -> int | None:
    """The fewest decimals that write all values exactly."""
    for decimals in range(DECIMALS + 1):
        unit = 10.0**decimals
        units = np.rint(values * unit)
        # The quotient of two integers below 2**53 is correctly rounded: the float64 that the decimals denote.
        if np.abs(units).max() < 2.0**53 and np.array_equal(units / unit, values):
            return decimals
    return None
