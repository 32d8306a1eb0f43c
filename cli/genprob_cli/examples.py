"""Examples that a verb's `--help` shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Verb = TypeVar("Verb", bound=Callable[..., object])


def examples(*lines: str) -> Callable[[Verb], Verb]:
    """Marks a verb with command lines to show at the end of its help."""

    def mark(verb: Verb) -> Verb:
        verb.__dict__["examples"] = lines
        return verb

    return mark
