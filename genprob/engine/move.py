"""Moves: the ways to change blocks. Each module of this package holds one; this one says what they share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol, runtime_checkable

from torch import Tensor

from genprob.data.batch import Batch
from genprob.engine.blocks import Blocks
from genprob.engine.state import Memory

Updates = Mapping[str, Tensor]
Metrics = dict[str, Tensor]
Feed = Literal["fresh", "same", "full", "none"]


@runtime_checkable
class Move(Protocol):
    """Changes the blocks that `writes` matches, and nothing else.

    Attributes:
        name: key of its memory and prefix of its metrics.
        writes: patterns over the flat names of blocks; a stray write is refused.
        data: `fresh` draws a new batch for each application, `same` shares the step's batch, `full` is given all
            rows, `none` nothing.
        repeat: applications per step.
        every: applied at the steps of its phase that are divisible by this, the first among them.
    """

    @property
    def name(self) -> str: ...

    @property
    def writes(self) -> frozenset[str]: ...

    @property
    def data(self) -> Feed: ...

    @property
    def repeat(self) -> int: ...

    @property
    def every(self) -> int: ...

    def init(self, blocks: Blocks) -> Memory:
        """Memory before the first application."""
        ...

    def apply(self, blocks: Blocks, memory: Memory, batch: Batch | None) -> tuple[Updates, Memory, Metrics]:
        """New values of tensors (modules may be updated in place instead), new memory, metrics as tensors."""
        ...
