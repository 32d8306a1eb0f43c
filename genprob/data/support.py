"""Supports: which values a variable can take. One text form, used in `schema.toml` and in partial schemas."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

from genprob.errors import UsageError


@dataclass(frozen=True)
class Support:
    """The set of values a variable can take."""

    @property
    def kind(self) -> str:
        """The word that names it: `real`, `positive`, `interval`, `binary`, `categorical`, `count`."""
        return type(self).__name__.lower()

    @property
    def discrete(self) -> bool:
        """True when probabilities, not densities, are the natural measure."""
        return isinstance(self, (Binary, Categorical, Count))

    def text(self) -> str:
        """The form written to `schema.toml`; `parse` reads it back."""
        return self.kind

    def contains(self, values: np.ndarray) -> np.ndarray:
        """Elementwise membership of numeric values (category codes for `Categorical`); NaN is not a member."""
        raise NotImplementedError


@dataclass(frozen=True)
class Real(Support):
    """The real line."""

    def contains(self, values: np.ndarray) -> np.ndarray:
        return np.isfinite(values)


@dataclass(frozen=True)
class Positive(Support):
    """Reals above zero."""

    def contains(self, values: np.ndarray) -> np.ndarray:
        return np.isfinite(values) & (values > 0)


@dataclass(frozen=True)
class Interval(Support):
    """Reals strictly between `lo` and `hi`."""

    lo: float
    hi: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.lo) and math.isfinite(self.hi) and self.lo < self.hi):
            raise UsageError(f"interval({self.lo:g}, {self.hi:g}): the lower end must be below the upper, both finite")

    def text(self) -> str:
        return f"interval({self.lo!r}, {self.hi!r})"

    def contains(self, values: np.ndarray) -> np.ndarray:
        return (values > self.lo) & (values < self.hi)


@dataclass(frozen=True)
class Binary(Support):
    """0 or 1."""

    def contains(self, values: np.ndarray) -> np.ndarray:
        return (values == 0) | (values == 1)


@dataclass(frozen=True)
class Categorical(Support):
    """One of finitely many labels, held as codes 0..len(levels)-1; `ordered` if the levels go from low to high.

    Ordered levels may be given as a range (`Within("low", "middle")`); models treat them as any others.
    """

    levels: tuple[str, ...] = ()
    ordered: bool = False

    def __post_init__(self) -> None:
        if len(set(self.levels)) != len(self.levels):
            raise UsageError(f"categorical: a level is named twice in {list(self.levels)}")

    def text(self) -> str:
        word = "ordinal" if self.ordered else "categorical"
        return f"{word}({','.join(map(_field, self.levels))})" if self.levels else word

    def contains(self, values: np.ndarray) -> np.ndarray:
        return (values >= 0) & (values < len(self.levels)) & (values == np.floor(values))


@dataclass(frozen=True)
class Count(Support):
    """Non-negative integers."""

    def contains(self, values: np.ndarray) -> np.ndarray:
        return np.isfinite(values) & (values >= 0) & (values == np.floor(values))


def _field(level: str) -> str:
    """A level as a CSV field, quoted where a bare one would not be read back."""
    bare = level and level == level.strip() and not any(c in level for c in ',"\n')
    return level if bare else '"' + level.replace('"', '""') + '"'


_ITEM = re.compile(r'\s*(?:"(?P<quoted>(?:[^"]|"")*)"|(?P<bare>[^,"]*))\s*(?P<end>,|\Z)', re.DOTALL)


def _fields(body: str) -> tuple[str, ...]:
    levels, at = [], 0
    while True:
        item = _ITEM.match(body, at)
        if not item:
            raise UsageError(f"categorical: cannot read the levels from {body[at:].strip()!r}; quote labels as in CSV")
        quoted = item["quoted"]
        levels.append(item["bare"].strip() if quoted is None else quoted.replace('""', '"'))
        if not item["end"]:
            return tuple(levels)
        at = item.end()


_FORM = re.compile(r"^\s*(?P<kind>[a-z]+)\s*(?:\((?P<body>.*)\))?\s*$", re.DOTALL)
_KINDS = "real, positive, interval(lo, hi), binary, categorical, categorical(a,b,...), ordinal(low,...,high), count"


def parse(text: str) -> Support:
    """Reads the text form, e.g. `"interval(0, 1)"`. Raises `UsageError` naming the forms that exist.

    >>> parse("interval(0, 1)")
    Interval(lo=0.0, hi=1.0)
    >>> parse("categorical(a,b)").levels
    ('a', 'b')
    >>> parse("ordinal(low,high)").ordered
    True
    """
    match = _FORM.match(text)
    kind, body = (match["kind"], match["body"]) if match else ("", None)
    plain: dict[str, type[Support]] = {"real": Real, "positive": Positive, "binary": Binary, "count": Count}
    if kind in plain and not body:
        return plain[kind]()
    if kind in ("categorical", "ordinal"):
        return Categorical(_fields(body) if body else (), ordered=kind == "ordinal")
    if kind == "interval" and body:
        ends = body.split(",")
        if len(ends) == 2:
            try:
                return Interval(float(ends[0]), float(ends[1]))
            except ValueError:
                pass
    raise UsageError(f"support {text!r} is not one of: {_KINDS}")
