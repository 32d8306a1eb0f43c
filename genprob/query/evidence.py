"""Evidence: what a query knows of a variable. Plain values mean `Equals`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from genprob.errors import UsageError


@dataclass(frozen=True)
class Equals:
    """The variable has this value (for a cell variable: lies in this value's cell)."""

    value: Any


@dataclass(frozen=True)
class Within:
    """The variable lies in `[lo, hi]`, both ends included; None leaves a side open.

    >>> Within(0.5, None)
    Within(lo=0.5, hi=None)
    """

    lo: Any = None
    hi: Any = None


@dataclass(frozen=True, init=False)
class OneOf:
    """The variable is one of these values: `OneOf("a", "b")`."""

    values: tuple[Any, ...]

    def __init__(self, *values: Any) -> None:
        if len(values) == 1 and isinstance(values[0], (list, tuple, set, frozenset)):
            values = tuple(values[0])
        if not values:
            raise UsageError("OneOf() names no value; give at least one")
        object.__setattr__(self, "values", tuple(values))


@dataclass(frozen=True)
class Soft:
    """A noisy reading: multiplies the joint by a likelihood of the variable.

    `Soft(v, sd=s)` multiplies by the normalised likelihood N(v; x, s) of a reading `v` with known error `s`;
    `Soft({"a": .7, "b": .3})` by a likelihood vector (virtual evidence: not a belief, levels not named get 0).
    """

    value: float | Mapping[str, float]
    sd: float | None = None


@dataclass(frozen=True)
class Masked:
    """Part of an array variable: `mask` is True where `array` is known (both of the variable's event shape)."""

    array: Any = field(repr=False)
    mask: Any = field(repr=False)


Evidence = Equals | Within | OneOf | Soft | Masked
KINDS = (Equals, Within, OneOf, Soft, Masked)


def as_evidence(value: Any) -> Evidence:
    """The value itself if it is evidence, else `Equals(value)`."""
    return value if isinstance(value, KINDS) else Equals(value)
