"""What the inferences of energies share: rows with holes, offsets that follow, and points to begin at."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from genprob.data.batch import Batch
from genprob.engine.assign import Assign
from genprob.engine.blocks import Blocks
from genprob.engine.capabilities import Centred, Energy, Fills, Lifts, Points, Score
from genprob.engine.move import Metrics, Updates
from genprob.engine.transition import Kernel, Transition
from genprob.errors import PluginError

COMPLETIONS = "completions"
"""The block of rows with their holes filled."""
_CENTRED_EVERY = 10


def completing(model: Energy) -> tuple[Transition, ...]:
    """A chain for each row that samples what the row leaves open given what it knows; none where rows are whole."""
    if not (isinstance(model, Fills) and model.incomplete):
        return ()

    def kernel(blocks: Blocks, batch: Batch | None) -> Kernel:
        assert batch is not None
        return model.completing_kernel(batch)

    def start(blocks: Blocks, batch: Batch | None) -> Tensor:
        assert batch is not None
        return model.guesses(batch.total).detach()

    return (Transition(COMPLETIONS, COMPLETIONS, kernel, data="same", start=start, per_row=True),)


def lifting(model: Energy) -> Lifts | None:
    """The model, if its chains are to carry what they know of their points."""
    return model if isinstance(model, Lifts) and model.lifts else None


def centring(model: Energy, wanted: bool = True) -> tuple[Assign, ...]:
    """Keeps the offsets of a centred energy at the mean activity of its units under the data; at 0 if not wanted."""
    if not isinstance(model, Centred):
        return ()

    def follow(blocks: Blocks, batch: Batch | None) -> tuple[Updates, Metrics]:
        assert batch is not None
        filled = COMPLETIONS in blocks.tensors
        if wanted:
            found = model.recentre(blocks[COMPLETIONS][batch.index] if filled else model.points(batch))
        else:
            found = model.uncentre()
        return {f"model.{name}": value for name, value in found.items()}, {}

    return (Assign("centre", frozenset({"model.*"}), follow, data="same", every=_CENTRED_EVERY),)


def checking(model: Points, check: Callable[[Tensor], object]) -> Assign:
    """A move that writes nothing: it looks at points of the first batch before anything is learned from them."""

    def look(blocks: Blocks, batch: Batch | None) -> tuple[Updates, Metrics]:
        assert batch is not None
        check(model.points(batch))
        return {}, {}

    return Assign("check", frozenset(), look, data="same", every=2**62)


def sound(model: Energy, points: Tensor) -> Tensor:
    """The points at which chains begin, once the energy was seen to be a finite number there; else `PluginError`."""
    with torch.no_grad():
        energy = model.energy(points)
    name = type(model).__name__
    if energy.shape != points.shape[:1]:
        raise PluginError(
            f"{name}.energy returned the shape {tuple(energy.shape)} for {len(points)} points; it owes one number a "
            f"point, {tuple(points.shape[:1])}"
        )
    bad = int((~torch.isfinite(energy)).sum())
    if bad:
        raise PluginError(f"{name}.energy is no finite number at {bad} of the first {len(points)} rows")
    return points


def sound_score(model: Score, points: Tensor, noise: float) -> None:
    """`PluginError` unless the score at these points is finite and has their shape."""
    at = torch.nan_to_num(points)
    found, name = model.score(at, at.new_full(at.shape[:1], noise)), type(model).__name__
    if found.shape != at.shape:
        raise PluginError(f"{name}.score returned the shape {tuple(found.shape)} for points {tuple(at.shape)}")
    bad = int((~torch.isfinite(found)).flatten(1).any(1).sum())
    if bad:
        raise PluginError(f"{name}.score is no finite number at {bad} of the first {len(at)} rows")
