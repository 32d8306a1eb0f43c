"""The schema: the ordered variables and the sample dimension, frozen into a run at fit."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

import numpy as np

from genprob.data.coordinates import Label, as_array
from genprob.data.measure import Cell, Counting, Lebesgue, Measure
from genprob.data.support import Binary, Categorical, Count, Support
from genprob.errors import UsageError

ROLES = ("observed", "latent", "parameter", "ignored")


@dataclass(frozen=True)
class Variable:
    """One named random variable.

    Arguments:
        name: its name in the data.
        support: which values it can take.
        measure: what its log-probability is relative to; defaults to counting for discrete supports, else Lebesgue.
        dims: names of its event dimensions, e.g. `("y", "x")`; empty for a scalar.
        shape: their sizes.
        unit: unit of its values, or None.
        role: `observed`, `latent`, `parameter` or `ignored` (kept in the file, left out of the joint).
        note: why support and measure were guessed so, or None when stated.
    """

    name: str
    support: Support
    measure: Measure | None = None
    dims: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    unit: str | None = None
    role: str = "observed"
    note: str | None = None

    def __post_init__(self) -> None:
        if self.measure is None:
            object.__setattr__(self, "measure", Counting() if self.support.discrete else Lebesgue())
        if self.support.discrete != isinstance(self.measure, Counting):
            raise UsageError(
                f"variable {self.name!r}: support {self.support.kind} does not go with measure {self.measure}"
            )
        if len(self.dims) != len(self.shape):
            raise UsageError(f"variable {self.name!r}: {len(self.dims)} dims but shape {self.shape}")
        if self.role not in ROLES:
            raise UsageError(f"variable {self.name!r}: role {self.role!r} is not one of {', '.join(ROLES)}")

    @property
    def size(self) -> int:
        """Number of scalars in one event."""
        return prod(self.shape)

    @property
    def discrete(self) -> bool:
        return self.support.discrete

    @property
    def cell(self) -> Cell | None:
        """The cell measure, or None."""
        return self.measure if isinstance(self.measure, Cell) else None

    @property
    def cardinality(self) -> int | None:
        """Number of levels of a categorical (2 for a binary), None where there is no finite list."""
        if isinstance(self.support, Categorical):
            return len(self.support.levels)
        return 2 if isinstance(self.support, Binary) else None

    @property
    def is_count(self) -> bool:
        return isinstance(self.support, Count)


@dataclass(frozen=True)
class Schema:
    """The ordered variables of a joint and the name of the sample dimension.

    Numbers are held flat: one row is a vector of `width` float64 columns, variables in order, events row-major;
    `slices[name]` are the columns of a variable and `columns[j]` is the variable that column j belongs to.

    Arguments:
        variables: in order.
        sample_dim: name of the sample dimension.
        coords: labels along event dimensions that have some, `((dim, (label, ...)), ...)`.
    """

    variables: tuple[Variable, ...]
    sample_dim: str = "row"
    coords: tuple[tuple[str, tuple[Label, ...]], ...] = ()

    def __post_init__(self) -> None:
        names = [v.name for v in self.variables]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise UsageError(f"schema: variable {twice[0]!r} appears twice")
        for dim, labels in self.coords:
            sizes = {size for v in self.variables for d, size in zip(v.dims, v.shape, strict=True) if d == dim}
            if sizes - {len(labels)}:
                raise UsageError(f"schema: dim {dim!r} has {len(labels)} labels, its variables the size {min(sizes)}")

    def __iter__(self) -> Iterator[Variable]:
        return iter(self.variables)

    def __len__(self) -> int:
        return len(self.variables)

    def __contains__(self, name: object) -> bool:
        return any(v.name == name for v in self.variables)

    def __getitem__(self, name: str) -> Variable:
        """The variable of that name; an unknown one is a `UsageError` with the nearest known names."""
        for variable in self.variables:
            if variable.name == name:
                return variable
        near = difflib.get_close_matches(str(name), self.names, n=3)
        hint = f"did you mean {', '.join(map(repr, near))}?" if near else f"known: {', '.join(self.names)}"
        raise UsageError(f"unknown variable {name!r}; {hint}")

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(v.name for v in self.variables)

    @cached_property
    def modelled(self) -> Schema:
        """The same schema without ignored variables: what a model sees."""
        return replace(self, variables=tuple(v for v in self.variables if v.role != "ignored"))

    @cached_property
    def labels(self) -> dict[str, np.ndarray]:
        """The labels along each event dimension that has some."""
        return {dim: as_array(labels) for dim, labels in self.coords}

    @cached_property
    def slices(self) -> dict[str, slice]:
        out, start = {}, 0
        for v in self.variables:
            out[v.name] = slice(start, start + v.size)
            start += v.size
        return out

    @cached_property
    def width(self) -> int:
        """Number of flat columns."""
        return sum(v.size for v in self.variables)

    @cached_property
    def columns(self) -> tuple[Variable, ...]:
        """The variable of each flat column."""
        return tuple(v for v in self.variables for _ in range(v.size))
