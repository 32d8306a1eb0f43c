"""Measures: what a log-probability of a variable is relative to.

`Counting` for categories, binaries and counts (a log-probability), `Lebesgue` for true reals (a log-density in data
units), `Cell(delta)` for reals that were rounded to a grid (the log-probability of the rounding cell).
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from genprob.errors import UsageError


@dataclass(frozen=True)
class Measure:
    """What a log-probability of one variable is relative to."""

    @property
    def kind(self) -> str:
        return type(self).__name__.lower()

    def text(self) -> str:
        """The form written to `schema.toml`."""
        return self.kind


@dataclass(frozen=True)
class Counting(Measure):
    """Log-probabilities of values."""


@dataclass(frozen=True)
class Lebesgue(Measure):
    """Log-densities in data units."""


@dataclass(frozen=True)
class Cell(Measure):
    """Reals rounded to the grid `offset + k * delta`; a value stands for `[v - delta/2, v + delta/2]`.

    Grid arithmetic is done over integers where delta and offset are short decimals, so that `value(index(v)) == v`
    bit for bit for a table value `v`.
    """

    delta: float
    offset: float = 0.0

    def __post_init__(self) -> None:
        if not self.delta > 0:
            raise UsageError(f"cell({self.delta:g}): the width of a cell must be positive")

    def text(self) -> str:
        return f"cell({self.delta!r})" if not self.offset else f"cell({self.delta!r}, {self.offset!r})"

    def _rational(self) -> tuple[int, int, int]:
        """(step, shift, denominator) with delta = step / denominator and offset = shift / denominator."""
        return _rational(self.delta, self.offset)

    def index(self, values: np.ndarray) -> np.ndarray:
        """The (float-held) integer index of the cell that holds each value."""
        return np.rint((np.asarray(values, dtype=np.float64) - self.offset) / self.delta)

    def value(self, index: np.ndarray) -> np.ndarray:
        """The table value of each cell, correctly rounded."""
        step, shift, denominator = self._rational()
        return (shift + np.asarray(index, dtype=np.float64) * step) / denominator

    def snap(self, values: np.ndarray) -> np.ndarray:
        """The table value of the cell that holds each value."""
        return self.value(self.index(values))

    def edges(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper edge of the cell of each value."""
        centre = self.snap(values)
        return centre - self.delta / 2, centre + self.delta / 2

    def span(self, lo: np.ndarray, hi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Outer edges of the cells whose value lies in `[lo, hi]`; upper < lower where no value does."""
        slack = 1e-9
        with np.errstate(over="ignore"):  # an end far away is no end
            first = np.ceil((lo - self.offset) / self.delta - slack)
            last = np.floor((hi - self.offset) / self.delta + slack)
        return self.value(first) - self.delta / 2, self.value(last) + self.delta / 2


@functools.cache
def _rational(width: float, start: float) -> tuple[int, int, int]:
    delta, offset = Fraction(repr(width)), Fraction(repr(start))
    denominator = delta.denominator * offset.denominator
    return int(delta * denominator), int(offset * denominator), denominator


_FORM = re.compile(r"^\s*cell\s*\(\s*([^,()]+?)\s*(?:,\s*([^,()]+?)\s*)?\)\s*$")


def parse(text: str) -> Measure:
    """Reads the text form: `counting`, `lebesgue`, `cell(0.01)`, `cell(1, 0.5)`.

    >>> parse("cell(0.01)")
    Cell(delta=0.01, offset=0.0)
    """
    word = text.strip()
    if word == "counting":
        return Counting()
    if word == "lebesgue":
        return Lebesgue()
    match = _FORM.match(word)
    if match:
        try:
            return Cell(float(match[1]), float(match[2] or 0.0))
        except ValueError:
            pass
    raise UsageError(f"measure {text!r} is not one of: counting, lebesgue, cell(delta), cell(delta, offset)")
