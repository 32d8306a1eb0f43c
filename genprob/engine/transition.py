"""Transition: a step of a Markov kernel on a block of chains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor

from genprob.data.batch import Batch
from genprob.engine.blocks import Blocks
from genprob.engine.move import Feed, Metrics, Updates
from genprob.engine.state import Memory
from genprob.errors import PluginError


class Kernel(Protocol):
    """A Markov transition, pure and batched over chains; what it learns of its target lives in its memory."""

    def init(self, position: Tensor) -> Memory: ...

    def step(self, position: Tensor, memory: Memory) -> tuple[Tensor, Memory, Metrics]:
        """One transition of `[chains, *event]`; metrics are numbers, or one per chain."""
        ...


@runtime_checkable
class Adaptive(Protocol):
    """A kernel that tunes itself during a warm-up, whose length it knows, and is frozen after."""

    def adapt(self, position: Tensor, memory: Memory, metrics: Metrics) -> Memory:
        """The memory after a step that ended at `position` and told `metrics`."""
        ...


@lru_cache
def adapts(kernel: type) -> bool:
    """Whether kernels of this class are `Adaptive`; looked at once, since a fit asks at every step."""
    return hasattr(kernel, "adapt")


@dataclass(frozen=True)
class Transition:
    """Moves the chains in block `target` by `kernel(blocks, batch)`.

    Arguments:
        name: key of its memory.
        target: flat name of the block `[chains, *event]` that moves.
        kernel: builds the kernel from the blocks as they stand (an energy that changes as it is learned) and a batch.
        start: where the chains begin if their block is not there yet.
        adapt: lets a kernel that can adapt do so after each step; two transitions of one name in two phases share
            their memory, so that one adapts and the other is frozen.
        stats: prefix of blocks that hold the kernel's metrics of each chain, `"<stats>.<metric>" [chains]`, for a
            `Record` to keep; None for none. What is logged are their means over the chains.
        per_row: the block has a chain for each row of the data, `[rows of the whole, *event]`, and only those of
            the batch's rows move. The kernel's memory is then common to all.
    """

    name: str
    target: str
    kernel: Callable[[Blocks, Batch | None], Kernel]
    data: Feed = "none"
    repeat: int = 1
    every: int = 1
    start: Callable[[Blocks, Batch | None], Tensor] | None = None
    adapt: bool = False
    per_row: bool = False
    stats: str | None = None

    @property
    def writes(self) -> frozenset[str]:
        return frozenset({self.target} if self.stats is None else {self.target, f"{self.stats}.*"})

    def init(self, blocks: Blocks) -> Memory:
        """Nothing: a kernel's memory begins with its first batch."""
        return {}

    def apply(self, blocks: Blocks, memory: Memory, batch: Batch | None) -> tuple[Updates, Memory, Metrics]:
        with torch.no_grad():
            return self._moved(blocks, memory, batch)

    def _moved(self, blocks: Blocks, memory: Memory, batch: Batch | None) -> tuple[Updates, Memory, Metrics]:
        kernel = self.kernel(blocks, batch)
        chains = self._chains(blocks, batch)
        rows = self._rows(batch)
        position = chains if rows is None else chains[rows]
        new, memory, metrics = kernel.step(position, memory or kernel.init(position))
        if self.adapt and adapts(type(kernel)):
            memory = cast(Adaptive, kernel).adapt(new, memory, metrics)
        if rows is not None:
            # In place: a copy of all chains at every step would cost as much as the whole data.
            new = chains.index_copy_(0, rows, new)
        logged = {name: _mean(value) for name, value in metrics.items()}
        kept = {} if self.stats is None else {f"{self.stats}.{name}": value for name, value in metrics.items()}
        return {self.target: new} | kept, memory, logged

    def _chains(self, blocks: Blocks, batch: Batch | None) -> Tensor:
        if self.start is not None and self.target not in blocks.tensors:
            return self.start(blocks, batch)
        return blocks[self.target]

    def _rows(self, batch: Batch | None) -> Tensor | None:
        if not self.per_row:
            return None
        if batch is None:
            raise PluginError(f"move {self.name!r} has a chain per row, but is given no rows")
        return batch.index


def _mean(value: Tensor) -> Tensor:
    if value.ndim == 0:
        return value
    return value.mean() if value.is_floating_point() else value.to(torch.get_default_dtype()).mean()
