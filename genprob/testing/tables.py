"""Small tables with holes to fit a model under examination to."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

ROWS = 120


def mixed() -> xr.Dataset:
    """Reals, a positive, cells, a category, a binary and a count that hang together; a tenth of the cells missing."""
    rng = np.random.default_rng(0)
    k = rng.integers(0, 2, ROWS)
    x = rng.normal(size=ROWS) + 2 * k
    numbers = {
        "x": x,
        "price": np.round(np.exp(0.4 * x + 0.3 * rng.normal(size=ROWS)), 2) + 0.01,
        "age": np.round(40 + 8 * x + 4 * rng.normal(size=ROWS)),
        "visits": rng.poisson(1 + 3 * k).astype(float),
        "member": (rng.random(ROWS) < 0.3 + 0.4 * k).astype(float),
    }
    for value in numbers.values():
        value[rng.random(ROWS) < 0.1] = np.nan
    colour = np.array(["red", "green", "blue"], dtype=object)[(k + (rng.random(ROWS) < 0.2)) % 3]
    return xr.Dataset({name: ("row", value) for name, value in (numbers | {"colour": colour}).items()})


def reals() -> xr.Dataset:
    """Three correlated reals; a tenth of the cells missing."""
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(ROWS, 3)) @ np.array([[1.0, 0.6, -0.3], [0.0, 0.8, 0.5], [0.0, 0.0, 0.7]]) + [0, 5, -2]
    rows[rng.random(rows.shape) < 0.1] = np.nan
    return xr.Dataset({name: ("row", rows[:, i]) for i, name in enumerate(("x", "y", "w"))})


def binaries() -> xr.Dataset:
    """Four binaries with a common cause; a tenth of the cells missing."""
    rng = np.random.default_rng(2)
    k = rng.random(ROWS) < 0.5
    rows = (rng.random((ROWS, 4)) < np.where(k[:, None], 0.8, 0.25)).astype(float)
    rows[rng.random(rows.shape) < 0.1] = np.nan
    return xr.Dataset({name: ("row", rows[:, i]) for i, name in enumerate("abcd")})


TABLES: dict[str, Callable[[], xr.Dataset]] = {"mixed": mixed, "reals": reals, "binaries": binaries}
