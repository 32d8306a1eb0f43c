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


def wording(value: Any) -> str:
    """Evidence as a reader would say it, in the words of the command line.

    >>> wording(Within(0.5, None)), wording(OneOf("a", "b")), wording(Soft(3.0, sd=0.2)), wording(1.2)
    ('0.5..', 'in a, b', '3.0 +- 0.2', '1.2')
    """
    match as_evidence(value):
        case Within(lo, hi):
            return f"{'' if lo is None else lo}..{'' if hi is None else hi}"
        case OneOf() as chosen:
            return f"in {', '.join(map(str, chosen.values))}"
        case Soft(Mapping() as weights, _):
            return "likelihood " + ", ".join(f"{k}: {v:g}" for k, v in weights.items())
        case Soft(reading, sd):
            return f"{reading} +- {sd}"
        case Masked(_, mask):
            known = sum(map(bool, _flat(mask)))
            return f"{known} of {len(_flat(mask))} cells"
        case Equals(plain):
            size = getattr(plain, "size", 1)
            return str(plain) if size == 1 else f"array of {size}"


def _flat(mask: Any) -> list[Any]:
    if hasattr(mask, "to_numpy"):  # an xarray.DataArray, a frame
        mask = mask.to_numpy()
    return (
        list(mask.ravel())
        if hasattr(mask, "ravel")
        else [x for row in mask for x in _flat(row)]
        if isinstance(mask, (list, tuple))
        else [mask]
    )
