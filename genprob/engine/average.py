"""Average: an exponential moving average of a module's tensors in another module."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from genprob.data.batch import Batch
from genprob.engine.blocks import Blocks
from genprob.engine.move import Feed, Metrics, Updates
from genprob.engine.state import Memory


@dataclass(frozen=True)
class Average:
    """Moves the tensors under `target` towards those under `source`, by a share `1 - decay` of the way.

    The share is larger at first, so that the average forgets where it began. Counts are copied.

    Arguments:
        name: key of its memory.
        source: prefix of the flat names of the blocks that are averaged, e.g. `model.generator.`.
        target: prefix of the averages.
        decay: of the weight of a step with every step after it.
    """

    name: str
    source: str
    target: str
    decay: float = 0.999
    data: Feed = "none"
    repeat: int = 1
    every: int = 1

    @property
    def writes(self) -> frozenset[str]:
        return frozenset({f"{self.target}*"})

    def init(self, blocks: Blocks) -> Memory:
        return {"count": 0}

    @torch.no_grad()
    def apply(self, blocks: Blocks, memory: Memory, batch: Batch | None) -> tuple[Updates, Memory, Metrics]:
        count = memory["count"]
        share = 1 - min(self.decay, (1 + count) / (10 + count))
        tensors = blocks.census().tensors
        pairs = [(tensors[self.target + name[len(self.source) :]].detach(), tensor.detach())
                 for name, tensor in tensors.items() if name.startswith(self.source)]  # fmt: skip
        floating = [pair for pair in pairs if pair[0].is_floating_point()]
        torch._foreach_lerp_([a for a, _ in floating], [b for _, b in floating], share)
        for kept, tensor in pairs:
            if not kept.is_floating_point():
                kept.copy_(tensor)
        return {}, {"count": count + 1}, {}
