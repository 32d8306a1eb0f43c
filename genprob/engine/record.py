"""Record: keeps draws of a block, in shards."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from genprob.data.batch import Batch
from genprob.engine.blocks import Blocks
from genprob.engine.move import Feed, Metrics, Updates
from genprob.engine.state import Memory, State


@dataclass(frozen=True)
class Record:
    """Writes the block `source` as it stands into the next place of the blocks `"<name>.<shard>"`.

    Shards `[shard, *source]` are allocated as they are needed, so that a record may go on for longer than planned.

    Arguments:
        name: of the move, of its memory and of the blocks.
        source: flat name of the block.
        shard: draws to a shard.
        every: steps from one draw to the next.
    """

    name: str
    source: str
    shard: int = 256
    every: int = 1
    repeat: int = 1
    data: Feed = "none"

    @property
    def writes(self) -> frozenset[str]:
        return frozenset({f"{self.name}.*"})

    def init(self, blocks: Blocks) -> Memory:
        return {"count": 0}

    def apply(self, blocks: Blocks, memory: Memory, batch: Batch | None) -> tuple[Updates, Memory, Metrics]:
        value = blocks[self.source].detach()
        number, place = divmod(memory["count"], self.shard)
        name = f"{self.name}.{number:05d}"
        shard = blocks.tensors[name] if place else value.new_zeros((self.shard, *value.shape))
        shard[place] = value
        return {name: shard}, {"count": memory["count"] + 1}, {}

    def draws(self, state: State) -> Tensor:
        """What was recorded so far, `[draws, *source]`."""
        shards = [tensor for name, tensor in sorted(state.blocks.tensors.items()) if name.startswith(f"{self.name}.")]
        return torch.cat(shards)[: state.memory[self.name]["count"]]
