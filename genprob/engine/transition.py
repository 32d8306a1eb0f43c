"""Transition: a step of a Markov kernel on a block of chains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from genprob.data.batch import Batch
from genprob.engine.blocks import Blocks
from genprob.engine.move import Feed, Metrics, Updates
from genprob.engine.state import Memory


class Kernel(Protocol):
    """A Markov transition, pure and batched over chains; adaptation lives in its memory."""

    def init(self, position: Tensor) -> Memory: ...

    def step(self, position: Tensor, memory: Memory) -> tuple[Tensor, Memory, Metrics]:
        """One transition of `[chains, *event]`."""
        ...


@dataclass(frozen=True)
class Transition:
    """Moves the chains in block `target` by `kernel(blocks, batch)`.

    Arguments:
        name: key of its memory.
        target: flat name of the block `[chains, *event]` that moves.
        kernel: builds the kernel from the blocks as they stand (an energy that changes as it is learned) and a batch.
    """

    name: str
    target: str
    kernel: Callable[[Blocks, Batch | None], Kernel]
    data: Feed = "none"
    repeat: int = 1
    every: int = 1

    @property
    def writes(self) -> frozenset[str]:
        return frozenset({self.target})

    def init(self, blocks: Blocks) -> Memory:
        return self.kernel(blocks, None).init(blocks[self.target]) if self.data == "none" else {}

    @torch.no_grad()
    def apply(self, blocks: Blocks, memory: Memory, batch: Batch | None) -> tuple[Updates, Memory, Metrics]:
        kernel = self.kernel(blocks, batch)
        position = blocks[self.target]
        new, memory, metrics = kernel.step(position, memory or kernel.init(position))
        return {self.target: new}, memory, metrics
