"""The attributes of an answer: those of its one query, or the worst over a batch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

_LEAST, _MOST = ("ess", "log_evidence", "reliable"), ("khat", "rhat", "log_evidence_se", "tries")
_TEXTS = ("strategy", "law", "limit", "reasons")
_ORDERED = {
    "guarantee": ("exact", "consistent", "heuristic"),
    "computation": ("ok", "unknown", "fail"),
    "support": ("ok", "unknown", "fail"),
    "calibration": ("ok", "unknown", "fail"),
}
_SHOWN = 5
NUMBERS, TEXTS = (*_LEAST, *_MOST), (*_TEXTS, *_ORDERED)


class Worst:
    """A running worst case over batches of queries, in memory that does not grow with them.

    >>> worst = Worst()
    >>> worst.add({"ess": np.array([100.0, np.nan, 40.0]), "support": ["ok", "fail", "ok"]})
    >>> worst.attrs()["ess"], worst.attrs()["support"], worst.queries
    (40.0, 'fail', 3)
    """

    def __init__(self) -> None:
        self.queries = 0
        self.reliable = 0
        self._numbers: dict[str, float] = {}
        self._texts: dict[str, Counter[str]] = {name: Counter() for name in TEXTS}
        self._more = dict.fromkeys(TEXTS, 0)

    def add(self, statistics: Mapping[str, Any]) -> None:
        """Takes in one batch: per name an array or list over its queries (a scalar for a single query)."""
        count = 0
        for name, values in statistics.items():
            column = np.atleast_1d(np.asarray(values))
            count = max(count, column.size)
            if name in NUMBERS:
                self._number(name, column.astype(np.float64))
            elif name in TEXTS:
                self._text(name, column)
        self.queries += count
        self.reliable += int(np.nansum(np.atleast_1d(np.asarray(statistics.get("reliable", 0)))))

    def _number(self, name: str, column: np.ndarray) -> None:
        known = column[~np.isnan(column)]
        before = self._numbers.setdefault(name, math.nan)
        if known.size:
            pick: Callable[..., float] = min if name in _LEAST else max
            found = float(pick(known))
            self._numbers[name] = found if math.isnan(before) else pick(before, found)

    def _text(self, name: str, column: np.ndarray) -> None:
        seen = self._texts[name]
        for text, times in Counter(map(str, column.tolist())).items():
            if text in seen or len(seen) < _SHOWN or name in _ORDERED:
                seen[text] += times
            else:
                self._more[name] += times

    def attrs(self) -> dict[str, str | int | float]:
        """The contract's attributes: numbers as they are, texts joined, orders by their worst."""
        out: dict[str, str | int | float] = {}
        for name, number in self._numbers.items():
            out[name] = int(number) if name in ("tries", "reliable") and not math.isnan(number) else number
        for name, seen in self._texts.items():
            if not seen:
                continue
            if name in _ORDERED:
                order = _ORDERED[name]
                # A word outside the order is worse than any in it: it must not be hidden.
                out[name] = max(seen, key=lambda word, order=order: order.index(word) if word in order else len(order))
            else:
                out[name] = self._joined(name)
        return out

    def _joined(self, name: str) -> str:
        seen = {text: times for text, times in self._texts[name].items() if text}
        if name != "reasons":
            return ", ".join(seen) + (", ..." if self._more[name] else "")
        if self.queries == 1:
            return "; ".join(seen)
        parts = [f"{text} ({times} of {self.queries} queries)" for text, times in seen.items()]
        if self._more[name]:
            parts.append(f"other reasons ({self._more[name]} of {self.queries} queries)")
        return "; ".join(parts)
