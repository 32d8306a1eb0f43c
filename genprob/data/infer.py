"""A first schema from data: supports and measures guessed by rules, each with its reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from genprob.data import dates
from genprob.data.codec import OFF_GRID, column, labels
from genprob.data.coordinates import Label, coordinates
from genprob.data.dims import columns, require_dimension, sample_dimension
from genprob.data.grid import DECIMALS, decimal_grid
from genprob.data.known import Known
from genprob.data.measure import Cell, Counting, Lebesgue, Measure
from genprob.data.object_cells import nothing_known, tidy
from genprob.data.origin import Origin, of_dataset, plain
from genprob.data.schema import Schema, Variable
from genprob.data.statement import Statement, advice, refuse
from genprob.data.support import Binary, Categorical, Count, Positive, Real, Support
from genprob.errors import DataError, UsageError

_COUNT = 1000  # the largest value of a guessed count
_LEVELS = 1000  # the largest number of guessed levels
_ID_LEVELS = 50  # labels that are mostly unique and more than these are ids
_TIES = 0.95  # share of distinct values below which a grid shows in ties
_ROWS = 20  # rows from which ties count
_COARSE = 1000  # cells spanned by the values of a grid that is coarse whether there are ties or not
_STRAYS = 0.001  # share of cells that may lie off a rough grid
_SKEW = 1.0
_GAIN = 0.9  # the log must leave less than this share of the skewness


@dataclass(frozen=True)
class Guess:
    """A support, a measure, the reason, and the unit that goes with them."""

    support: Support
    measure: Measure
    why: str
    unit: str | None = None


def infer_schema(ds: xr.Dataset, partial: Any = None, sample_dim: str | None = None) -> Schema:
    """The schema of a data set: what is stated is taken and checked, the rest is guessed, with a note on why.

    Rules: booleans and {0, 1} are binary; strings categorical, levels in the source's order or sorted; whole numbers
    from 0 or 1 up to at most 1000 counts; other numbers positive if above zero, skewed, and less so after a log, else
    real. Whole numbers, and reals with ties on a decimal grid, have cells; the rest a density. Dates are reals in days
    (seconds, if any has a time of day) since 1970-01-01.

    Arguments:
        ds: the data, as `genprob.read` returns them.
        partial: a `Schema` or schema file (then nothing is guessed but levels that it leaves open), or statements
            `{variable: "count" | "cell(0.1)" | "ignore" | ...}`.
        sample_dim: the sample dimension; by default the first that all variables share.

    Raises `DataError` naming the variable: no known cell, labels that look like ids, stated supports that do not hold.

    >>> ds = xr.Dataset({"n": ("row", [0, 3, 1, 2]), "g": ("row", ["a", "b", "a", "a"])})
    >>> [v.support.text() for v in infer_schema(ds)]
    ['count', 'categorical(a,b)']
    """
    known = Known.of(partial)
    absent = [name for name in known.names if name not in ds.variables]
    if absent:
        raise DataError(
            f"{ds.attrs.get('source', 'data')}: no variable {', '.join(map(repr, absent))}, of which the schema "
            f"speaks; it has {', '.join(repr(str(name)) for name in ds.data_vars)}"
        )
    if known.schema is not None:
        ds = ds[list(known.names)]
    dim = require_dimension(ds, sample_dim) if sample_dim else str(sample_dimension(ds, known.sample_dim))
    origin = of_dataset(ds, dim)
    if known.schema is not None:
        coords = known.schema.coords or _coords(ds, known.schema.variables)
        return Schema(tuple(_stated(v, ds, dim, origin) for v in known.schema), dim, coords)
    variables, faults = [], {}
    for key, data in columns(ds).items():
        name = str(key)
        try:
            variables.append(_inferred(name, data.transpose(dim, ...), known.stated.get(name, Statement()), origin))
        except DataError as fault:
            faults[name] = fault
    refuse(faults)
    return Schema(tuple(variables), dim, _coords(ds, variables))


def _coords(ds: xr.Dataset, variables: Iterable[Variable]) -> tuple[tuple[str, tuple[Label, ...]], ...]:
    return coordinates(ds, (dim for v in variables for dim in v.dims))


def guess(
    array: np.ndarray, name: str, origin: Origin, levels: list[str] | None = None, ordered: bool = False
) -> Guess:
    """The support and measure of a tidy column `[row, *event]`, by the rules of `infer_schema`."""
    if array.dtype == object:
        return _guess_labels(array, name, origin, levels, ordered)
    if array.dtype == bool:
        return Guess(Binary(), Counting(), "true or false")
    if array.dtype.kind == "M":
        return _guess_dates(array)
    known = array[~np.isnan(array)] if array.dtype.kind == "f" else array
    distinct = np.unique(known)
    if np.isin(distinct, (0, 1)).all():
        return Guess(Binary(), Counting(), "only 0 and 1")
    lo, hi = float(distinct[0]), float(distinct[-1])
    pixels = array.dtype == np.uint8 and array.ndim > 2
    if _whole(distinct) and lo in (0.0, 1.0) and lo < hi <= _COUNT and not pixels:
        return Guess(Count(), Counting(), f"whole numbers from {plain(lo)} to {plain(hi)}{_numbering(array)}")
    measure, grid = _guess_measure(known, distinct)
    support, shape = _guess_shape(known.reshape(-1), lo)
    return Guess(support, measure, f"{grid}; {shape}{_numbering(array)}")


def _guess_labels(array: np.ndarray, name: str, origin: Origin, levels: list[str] | None, ordered: bool) -> Guess:
    support = _levels(array, levels)
    if ordered and support.levels == tuple(levels or ()):
        support = replace(support, ordered=True)
    known = sum(value is not None for value in array.reshape(-1))
    found = len(support.levels)
    cure = f"drop it, ignore it ({advice(name, 'ignore')}), or state it ({advice(name, 'categorical')})"
    if found > _ID_LEVELS and found > known / 2:
        raise DataError(
            f"{origin.source}: variable {name!r} looks like an id: {found} different labels in {known} cells, such as "
            f"{support.levels[0]!r}; {cure}"
        )
    if found > _LEVELS:
        raise DataError(f"{origin.source}: variable {name!r} has {found} different labels; merge rare ones, {cure}")
    order = "the source's" if levels else "sorted"
    order = "the source's, from low to high," if support.ordered else order
    return Guess(support, Counting(), f"{found} different labels, {order} order")


def _levels(array: np.ndarray, levels: list[str] | None) -> Categorical:
    """The source's levels if they cover the data, else the labels found, sorted as numbers where all are."""
    found = {value for value in array.reshape(-1).tolist() if value is not None}
    if levels and found <= set(levels):
        return Categorical(tuple(levels))
    try:
        return Categorical(tuple(sorted(found, key=lambda text: (float(text), text))))
    except ValueError:
        return Categorical(tuple(sorted(found)))


def _open_levels(said: Categorical, name: str, array: np.ndarray, levels: list[str]) -> Categorical:
    """The levels of a support that was stated without them; an order is not guessed from the alphabet."""
    found = _levels(array, levels)
    if not said.ordered:
        return found
    if found.levels != tuple(levels) and not all(map(_numeric, found.levels)):
        stated = f"ordinal({','.join(found.levels[:6])}{',...' if len(found.levels) > 6 else ''})"
        raise UsageError(
            f"variable {name!r}: ordinal, in which order? Name the levels from low to high, such as "
            f"{advice(name, stated)}"
        )
    return replace(found, ordered=True)


def _numeric(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _guess_dates(array: np.ndarray) -> Guess:
    unit = dates.unit_of(array)
    numbers = dates.to_numbers(array, unit)
    whole = _whole(numbers[~np.isnan(numbers)])
    return Guess(Real(), Cell(1.0) if whole else Lebesgue(), f"dates, {'whole ' * whole}{unit.split()[0]}", unit)


def _guess_measure(known: np.ndarray, distinct: np.ndarray) -> tuple[Measure, str]:
    """Cells where values lie on a decimal grid and there are ties, or few cells for them to lie in."""
    count = known.size
    grid, ties = decimal_grid(distinct), count >= _ROWS and len(distinct) < _TIES * count
    if grid is None and ties:
        return _guess_rough_grid(known, distinct)
    if grid is None:
        return Lebesgue(), f"{len(distinct)} different values on no grid"
    span = float(distinct[-1] - distinct[0]) / grid.delta
    if _whole(distinct) or ties or span <= _COARSE:
        return grid, f"{len(distinct)} different values on a grid of {plain(grid.delta)}"
    return Lebesgue(), f"{len(distinct)} different values in {count} cells, hardly any twice"


def _guess_rough_grid(known: np.ndarray, distinct: np.ndarray) -> tuple[Measure, str]:
    """The grid that all but one in a thousand cells lie on: a density would be unbounded at the ties."""
    for decimals in range(DECIMALS + 1):
        delta = 1 / 10**decimals
        strays = int((np.abs(Cell(delta).snap(known) - known) > OFF_GRID * delta).sum())
        if strays <= _STRAYS * known.size:
            return Cell(
                delta
            ), f"on a grid of {plain(delta)} but for {strays} of {known.size} values, which are rounded"
    return Lebesgue(), f"{len(distinct)} different values in {known.size} cells, on no grid"


def _guess_shape(known: np.ndarray, lo: float) -> tuple[Support, str]:
    if lo <= 0:
        return Real(), "some at or below zero"
    plainly = _skewness(known)
    logged = _skewness(np.log(known.astype(np.float64)))
    if plainly > _SKEW and abs(logged) < _GAIN * plainly:
        return Positive(), f"above zero, skewness {plainly:.1f}, of the log {logged:.1f}"
    return Real(), "not skewed to the right" if plainly <= _SKEW else f"skewness {plainly:.1f}, hardly less after a log"


def _skewness(values: np.ndarray) -> float:
    centred = values.astype(np.float64) - values.mean(dtype=np.float64)
    spread = float(np.sqrt(np.mean(centred**2)))
    return float(np.mean((centred / spread) ** 3)) if spread > 0 else 0.0


def _whole(values: np.ndarray) -> bool:
    return values.dtype.kind in "iu" or bool((values == np.rint(values)).all() and np.abs(values).max() < 2.0**53)


def _numbering(array: np.ndarray) -> str:
    """A warning for a column that counts the rows."""
    counts = array.ndim == 1 and len(array) >= _ROWS and bool((np.diff(array) == 1).all())
    return "; goes up by one from row to row: if it numbers the rows, ignore it" if counts else ""


def _inferred(name: str, data: xr.Variable, said: Statement, origin: Origin) -> Variable:
    array = tidy(data.values, name, origin, categorical=said.ignored or isinstance(said.support, Categorical))
    dims = (*map(str, data.dims[1:]), *(f"{name}_dim_{k}" for k in range(array.ndim - data.ndim)))
    levels = list(map(str, data.attrs.get("levels", ())))
    unit = str(data.attrs["units"]) if "units" in data.attrs else None
    blank = Variable(name, Real(), dims=dims, shape=array.shape[1:], unit=said.unit or unit, role=said.role)
    if said.ignored:
        return replace(blank, support=Categorical(), measure=Counting()) if array.dtype == object else blank
    if nothing_known(array):
        raise DataError(
            f"{origin.source}: variable {name!r} has no known cell; drop it, or ignore it ({advice(name, 'ignore')})"
        )
    if isinstance(said.support, Categorical):
        support = said.support if said.support.levels else _open_levels(said.support, name, labels(array), levels)
        found = replace(blank, support=support, measure=Counting())
    elif said.support is not None and said.support.discrete:
        found = replace(blank, support=said.support, measure=Counting())
    else:
        found = _guessed(blank, array, said, origin, data.attrs)
    if _constant(array):
        note = f"constant; {found.note}" if found.note else "constant"
        found = replace(found, note=note)
    if said.support is not None:
        column(found, array, origin)
    return replace(found, note=f"guessed: {found.note}") if found.note else found


def _guessed(blank: Variable, array: np.ndarray, said: Statement, origin: Origin, attrs: Mapping[str, Any]) -> Variable:
    """What is not stated of support and measure, guessed."""
    if said.measure is None and said.support is None:
        levels = list(map(str, attrs.get("levels", ())))
        found = guess(array, blank.name, origin, levels, bool(attrs.get("ordered")))
        unit = found.unit or blank.unit
        return replace(blank, support=found.support, measure=found.measure, unit=unit, note=found.why)
    unit = blank.unit
    if array.dtype.kind == "M":
        unit = said.unit or dates.unit_of(array)
    numbers, _ = column(replace(blank, support=Real(), measure=Lebesgue(), unit=unit), array, origin)
    known = (
        array.dtype.type(0) + array[~np.isnan(numbers)] if array.dtype == np.float32 else numbers[~np.isnan(numbers)]
    )
    distinct = np.unique(known)
    measure, why = (said.measure, "") if said.measure is not None else _guess_measure(known, distinct)
    support, shape = (said.support, "") if said.support is not None else _guess_shape(known, float(distinct[0]))
    if said.measure is not None and isinstance(said.measure, Counting):
        support, shape = Count(), "counting measure"
    return replace(blank, support=support, measure=measure, unit=unit, note="; ".join(filter(None, (why, shape))))


def _stated(variable: Variable, ds: xr.Dataset, dim: str, origin: Origin) -> Variable:
    """A variable of a schema that was given, its open levels filled in, checked against the data."""
    if variable.role == "ignored" or variable.name not in ds.variables:
        return variable
    data = ds.variables[variable.name].transpose(dim, ...)
    array = tidy(data.values, variable.name, origin, categorical=isinstance(variable.support, Categorical))
    if nothing_known(array):
        raise DataError(
            f"{origin.source}: variable {variable.name!r} has no known cell; drop it, or set its role to ignored"
        )
    if isinstance(variable.support, Categorical) and not variable.support.levels:
        known = list(map(str, data.attrs.get("levels", ())))
        support = _open_levels(variable.support, variable.name, labels(array), known)
        variable = replace(variable, support=support)
    column(variable, array, origin)
    return variable


def _constant(array: np.ndarray) -> bool:
    flat = array.reshape(-1)
    if array.dtype == object:
        return len({value for value in flat.tolist() if value is not None}) == 1
    known = flat[~(np.isnat(flat) if flat.dtype.kind == "M" else np.isnan(flat))] if flat.dtype.kind in "fM" else flat
    return bool((known == known[0]).all())
