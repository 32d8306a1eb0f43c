"""Averages: the moving averages that moves keep of their parameters, put in place of the parameters themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from genprob.engine.state import State


def averages(memory: Mapping[str, Any]) -> dict[str, Tensor]:
    """Flat block name -> average, of every move that keeps one (`Descend(ema=...)`)."""
    kept = (move["ema"] for move in memory.values() if isinstance(move, Mapping) and "ema" in move)
    return {name: value for average in kept for name, value in average.items()}


@contextmanager
@torch.no_grad()
def averaged(state: State) -> Iterator[None]:
    """Within the block the blocks hold their averages where there are any; afterwards they are as they were."""
    found = averages(state.memory)
    before = {name: state.blocks[name].detach().clone() for name in found}
    state.blocks.assign(found)
    try:
        yield
    finally:
        state.blocks.assign(before)
