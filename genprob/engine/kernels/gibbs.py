"""Block Gibbs sampling of two layers of binary units."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from genprob.engine.move import Metrics
from genprob.engine.state import Memory


@dataclass(frozen=True)
class BinaryGibbs:
    """Draws the hidden layer given the visible one, then the visible one anew (Geman and Geman 1984).

    Its chains are the visible units, 0 or 1, `[chains, visible]`.

    Arguments:
        up: logits of the hidden units given the visible, `[chains, visible] -> [chains, hidden]`.
        down: logits of the visible units given the hidden.
    """

    up: Callable[[Tensor], Tensor]
    down: Callable[[Tensor], Tensor]

    def init(self, position: Tensor) -> Memory:
        return {}

    def step(self, position: Tensor, memory: Memory) -> tuple[Tensor, Memory, Metrics]:
        new = _drawn(self.down(_drawn(self.up(position))))
        return new, memory, {"flipped": (new != position).to(new.dtype).mean()}


def _drawn(logits: Tensor) -> Tensor:
    # Twice as fast as torch.bernoulli.
    return (torch.rand_like(logits) < torch.sigmoid(logits)).to(logits.dtype)
