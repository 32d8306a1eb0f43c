"""The progress of a fit: a bar with ETA and live loss on a terminal, plain lines when piped."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import IO, Any

INTERVAL = 5.0
"""Seconds between two plain lines."""


class Progress:
    """Takes the events of `genprob.fit` as they come; everything goes to stderr.

    An event has `phase`, `step`, `steps` (None where a condition ends the phase), `metrics`, `watch` (the name of the
    metric that tells most), or only a `message`.
    """

    def __init__(self, file: IO[str] | None = None) -> None:
        self._file = file if file is not None else sys.stderr
        self._began = 0.0
        self._first: int | None = None
        self._printed = -INTERVAL
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Progress:
        if self._file.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[metrics]}"),
                console=Console(file=self._file, markup=False),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task("starting", total=None, metrics="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, event: Mapping[str, Any]) -> None:
        message = event.get("message")
        if message:
            self._say(str(message))
        step = event.get("step")
        if step is None:
            return
        steps, metrics = event.get("steps"), _metrics(event)
        phase = str(event.get("phase") or "fit")
        if self._bar is not None:
            self._bar.update(self._task, description=phase, completed=step, total=steps, metrics=metrics)
            return
        now = time.monotonic()
        if self._first is None:
            self._first, self._began = step, now
        if now - self._printed >= INTERVAL or step == steps:
            self._printed = now
            of = f"/{steps}" if steps else ""
            self._say(f"{phase} step {step}{of}{self._remaining(step, steps, now)}{'  ' if metrics else ''}{metrics}")

    def _remaining(self, step: int, steps: int | None, now: float) -> str:
        """The time that is left at the pace so far."""
        done = step - (self._first or 0)
        if not steps or not done or step >= steps:
            return ""
        return f"  {_clock((now - self._began) / done * (steps - step))} left"

    def _say(self, line: str) -> None:
        if self._bar is not None:
            self._bar.console.print(line)
        else:
            print(line, file=self._file, flush=True)


def _metrics(event: Mapping[str, Any]) -> str:
    """The metric to watch and the held-out score, if the event says which; else all."""
    metrics, watched = event.get("metrics") or {}, event.get("watch")
    shown = {name: metrics[name] for name in (watched, "held_out") if name in metrics} or metrics
    return "  ".join(f"{name} {float(value):.4g}" for name, value in shown.items())


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
