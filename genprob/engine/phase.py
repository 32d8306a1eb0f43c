"""Phases: ordered moves until a number of steps or a condition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from genprob.engine.move import Metrics, Move
from genprob.engine.state import State


@dataclass(frozen=True)
class Phase:
    """Some moves, applied in order at every step.

    Arguments:
        moves: the moves; names must differ.
        steps: how many steps the phase lasts.
        done: ends the phase early when it returns True after a step.
        name: for progress and logs.
    """

    moves: tuple[Move, ...]
    steps: int
    done: Callable[[State, Metrics], bool] | None = None
    name: str = "fit"

    @cached_property
    def fresh(self) -> int:
        """How many batches a step takes: one for each application on fresh rows, at least the one that is shared."""
        return sum(move.repeat for move in self.moves if move.data == "fresh") or 1
