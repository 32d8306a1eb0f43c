"""Assign: a closed-form update, such as the E- or the M-step of EM."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from genprob.data.batch import Batch
from genprob.engine.blocks import Blocks
from genprob.engine.move import Feed, Metrics, Updates
from genprob.engine.state import Memory


@dataclass(frozen=True)
class Assign:
    """Sets blocks to what `solve(blocks, batch)` returns: `(updates, metrics)`."""

    name: str
    writes: frozenset[str]
    solve: Callable[[Blocks, Batch | None], tuple[Updates, Metrics]]
    data: Feed = "full"
    repeat: int = 1
    every: int = 1

    def init(self, blocks: Blocks) -> Memory:
        return {}

    @torch.no_grad()
    def apply(self, blocks: Blocks, memory: Memory, batch: Batch | None) -> tuple[Updates, Memory, Metrics]:
        updates, metrics = self.solve(blocks, batch)
        return updates, memory, metrics
