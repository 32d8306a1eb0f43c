"""The log of a fit: one JSON line of metrics per print, appended and flushed."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from genprob import atomic
from genprob.errors import CorruptFileError


class Events:
    """The file `events.jsonl` of a run.

    >>> import tempfile
    >>> events = Events(Path(tempfile.mkdtemp()) / "events.jsonl")
    >>> for step in (1, 2, 3):
    ...     events.append(step, {"loss": 1 / step})
    >>> events.strike(1)
    >>> events.close()
    >>> events.read()
    [{'step': 1, 'loss': 1.0}]
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None

    def append(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Adds the metrics of a step: numbers (also 0-d arrays and tensors), texts, None."""
        self._write({"step": int(step), **{name: _plain(value) for name, value in metrics.items()}})

    def strike(self, step: int) -> None:
        """Says that what was logged after `step` does not count: the fit goes on from there."""
        self._write({"step": int(step), "resume": True})

    def read(self) -> list[dict[str, Any]]:
        """What counts, in order. Raises `CorruptFileError` naming a line that is no event."""
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        out: list[dict[str, Any]] = []
        # What follows the last newline is a line torn by a kill, or one being written.
        for number, line in enumerate(lines[:-1], start=1):
            try:
                event = json.loads(line)
                step = event["step"]
            except (ValueError, KeyError, TypeError):
                raise CorruptFileError(f"{self.path}: line {number} is not an event") from None
            if event.get("resume"):
                out = [e for e in out if e["step"] <= step]
            else:
                out.append({k: float(v) if v in ("nan", "inf", "-inf") else v for k, v in event.items()})
        return out

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, event: dict[str, Any]) -> None:
        try:
            if self._file is None:
                if self.path.exists():
                    os.truncate(self.path, self.path.read_bytes().rfind(b"\n") + 1)
                self._file = self.path.open("a", encoding="utf-8")
            self._file.write(json.dumps(event) + "\n")
            self._file.flush()
        except OSError as error:
            raise atomic.explain(error, self.path) from None


def _plain(value: Any) -> Any:
    """As strict JSON: numbers that are not finite by their name."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    number = float(value)
    return number if math.isfinite(number) else repr(number)
