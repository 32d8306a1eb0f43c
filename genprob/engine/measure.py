"""Measure: looks at the blocks now and then, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from genprob.data.batch import Batch
from genprob.engine.blocks import Blocks
from genprob.engine.move import Feed, Metrics, Updates
from genprob.engine.state import Memory


@dataclass(frozen=True)
class Measure:
    """Tells `metrics(blocks, batch)`, taken anew at every `period`-th step and told again at those between.

    Its random numbers are the state's, as those of any move.
    """

    name: str
    metrics: Callable[[Blocks, Batch | None], Metrics]
    period: int = 1
    data: Feed = "full"
    repeat: int = 1
    every: int = 1

    writes = frozenset[str]()

    def init(self, blocks: Blocks) -> Memory:
        return {"count": 0, "last": {}}

    @torch.no_grad()
    def apply(self, blocks: Blocks, memory: Memory, batch: Batch | None) -> tuple[Updates, Memory, Metrics]:
        count = memory["count"]
        last = memory["last"] if count % self.period else self.metrics(blocks, batch)
        return {}, {"count": count + 1, "last": last}, dict(last)
