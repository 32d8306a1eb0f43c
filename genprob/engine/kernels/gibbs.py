"""Block Gibbs sampling: layers of any conditionals, and two layers of binary units."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genprob.engine.move import Metrics
from genprob.engine.state import Memory

Draw = Callable[[Tensor], Tensor]
"""Draws a block given what it is passed: another layer, or the whole position with the block to be drawn anew."""


@dataclass(frozen=True)
class BlockGibbs:
    """Draws blocks in order, each given what the one before it returned (Geman and Geman 1984).

    With two layers, `BlockGibbs((up, down))`: `up` draws the hidden layer given the visible, `down` the visible given
    the hidden, and the position is the visible layer. With blocks of one position, each draw returns the position
    with its block replaced. Metrics: `moved`, the share of entries that changed, per chain.

    Arguments:
        draws: conditionals, `[..., chains, *layer] -> [..., chains, *next layer]`; the last returns a position.

    >>> up = lambda v: bernoulli(4 * v - 2)
    >>> position, _, metrics = BlockGibbs((up, up)).step(torch.zeros(5, 3), {})
    >>> position.shape, metrics["moved"].shape
    (torch.Size([5, 3]), torch.Size([5]))
    """

    draws: tuple[Draw, ...]

    adjusted: ClassVar[bool] = True

    def init(self, position: Tensor) -> Memory:
        return {}

    def step(self, position: Tensor, memory: Memory) -> tuple[Tensor, Memory, Metrics]:
        new = position
        for draw in self.draws:
            new = draw(new)
        changed = (new != position).to(torch.get_default_dtype())
        return new, memory, {"moved": changed.mean(-1) if position.ndim > 1 else changed}


@dataclass(frozen=True)
class BinaryGibbs:
    """Draws the hidden layer given the visible one, then the visible one anew, both binary.

    Its chains are the visible units, 0 or 1, `[..., chains, visible]`. Metrics: `moved` per chain.

    Arguments:
        up: logits of the hidden units given the visible, `[..., chains, visible] -> [..., chains, hidden]`.
        down: logits of the visible units given the hidden.
    """

    up: Callable[[Tensor], Tensor]
    down: Callable[[Tensor], Tensor]

    adjusted: ClassVar[bool] = True

    def init(self, position: Tensor) -> Memory:
        return {}

    def step(self, position: Tensor, memory: Memory) -> tuple[Tensor, Memory, Metrics]:
        new = bernoulli(self.down(bernoulli(self.up(position))))
        return new, memory, {"moved": (new != position).to(new.dtype).mean(-1)}


def bernoulli(logits: Tensor) -> Tensor:
    """Zeros and ones with these log-odds, in the type of the logits; twice as fast as `torch.bernoulli`."""
    return (torch.rand_like(logits) < torch.sigmoid(logits)).to(logits.dtype)


def categorical(logits: Tensor) -> Tensor:
    """Integers drawn from `[..., categories]` unnormalised log-probabilities, `[...]`.

    >>> categorical(torch.tensor([[0.0, -torch.inf], [-torch.inf, 5.0]])).tolist()
    [0, 1]
    """
    cumulative = torch.softmax(logits, -1).cumsum(-1)
    total = cumulative[..., -1:]
    level = torch.rand_like(total) * total
    # The second condition: a level that was rounded up to the total is in the last possible category.
    return ((cumulative <= level) & (cumulative < total)).sum(-1)
