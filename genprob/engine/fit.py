"""The fit loop: a generator, so that the caller owns logging, stopping and saving."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Protocol

import torch
from torch import Tensor

from genprob.data.batch import Batch
from genprob.engine.blocks import matches
from genprob.engine.move import Metrics, Move, Updates
from genprob.engine.phase import Phase
from genprob.engine.scope import running
from genprob.engine.state import Memory, State
from genprob.errors import PluginError


class Batches(Protocol):
    """Where rows come from: a function of the step, so that resuming is exact."""

    def __call__(self, step: int) -> Batch: ...

    def full(self) -> Batch: ...


_version = attrgetter("_version")


def fit(phases: Sequence[Phase], state: State, batches: Batches | None = None) -> Iterator[Metrics]:
    """Runs the phases from where `state` stands, yielding each step's metrics as tensors (keys `"move.metric"`).

    The state's own random numbers are in place only while a step runs, and no pyro setting outlives a step, so the
    caller's random numbers and settings never change. `state` is up to date, and may be saved, at each yield.

    Raises `PluginError` for phases that cannot be run, and for a move that writes what is not its own.
    """
    for phase in phases:
        names = [m.name for m in phase.moves]
        if len(set(names)) < len(names):
            raise PluginError(f"phase {phase.name!r} has two moves of one name: {', '.join(names)}")
        for move in phase.moves:
            if move.repeat < 1 or move.every < 1:
                raise PluginError(f"move {move.name!r}: repeat={move.repeat}, every={move.every}: at least 1 each")
            if move.data != "none" and batches is None:
                raise PluginError(f"move {move.name!r} wants data, but the fit was given none")
    return _steps(phases, state, batches)


def _steps(phases: Sequence[Phase], state: State, batches: Batches | None) -> Iterator[Metrics]:
    while phases and not state.finished:
        phase = phases[state.phase]
        if state.phase_step < phase.steps:
            with running(state.rng):
                metrics = _step(phase, state, batches)
            state.step += 1
            state.phase_step += 1
            # Settled before the yield, so that a checkpoint taken there knows that the phase is over.
            over = (phase.done is not None and phase.done(state, metrics)) or state.phase_step >= phase.steps
            if over:
                _next_phase(state, len(phases), early=state.phase_step < phase.steps)
            yield metrics
        elif not _next_phase(state, len(phases), early=False):
            return


def _next_phase(state: State, phases: int, *, early: bool) -> bool:
    """Moves on to the next phase; after the last, which may be given more steps later, only an early end is final."""
    if state.phase + 1 < phases:
        state.phase, state.phase_step = state.phase + 1, 0
        return True
    state.finished = early
    return False


def _step(phase: Phase, state: State, batches: Batches | None) -> Metrics:
    metrics: Metrics = {}
    feed = _Feed(batches, state.step * phase.fresh)
    for move in phase.moves:
        if state.phase_step % move.every:
            continue
        for _ in range(move.repeat):
            batch = feed(move)
            if move.name not in state.memory:
                state.memory[move.name] = move.init(state.blocks)
            updates, memory, found = _guarded(move, state, batch)
            state.blocks.assign(updates)
            state.memory[move.name] = memory
            for key, value in found.items():
                metrics[f"{move.name}.{key}"] = value
    return metrics


class _Feed:
    """The batches of one step: the first is the one that moves share, every fresh one is the next."""

    def __init__(self, batches: Batches | None, first: int) -> None:
        self.batches, self.first, self.drawn = batches, first, 0
        self.shared: Batch | None = None

    def __call__(self, move: Move) -> Batch | None:
        if move.data == "none" or self.batches is None:
            return None
        if move.data == "full":
            return self.batches.full()
        if move.data == "fresh":
            self.drawn += 1
            return self.batches(self.first + self.drawn - 1)
        if self.shared is None:
            self.shared = self.batches(self.first)
        return self.shared


def _guarded(move: Move, state: State, batch: Batch | None) -> tuple[Updates, Memory, Metrics]:
    """Applies a move that may write its own blocks only: other buffers are given back, other writes are refused."""
    blocks, writes = state.blocks, move.writes
    census = blocks.census()
    parameters, buffers = census.foreign(writes)
    free = {name: tensor for name, tensor in blocks.tensors.items() if not matches(name, writes)}
    watched = [*parameters.values(), *free.values()]
    versions = list(map(_version, watched))
    values = [buffer.clone() for buffer in buffers.values()]
    try:
        out = move.apply(blocks, state.memory[move.name], batch)
    finally:
        # Whatever their version says: batch normalisation's kernel moves its statistics without counting.
        if buffers:
            with torch.no_grad():
                for buffer, value in zip(buffers.values(), values, strict=True):
                    buffer.copy_(value)
    now = list(map(_version, watched))
    if now != versions:
        changed = zip((*parameters, *free), now, versions, strict=True)
        raise _stray(move, next(name for name, ours, theirs in changed if ours != theirs))
    after = blocks.census()
    if after is not census:  # otherwise no tensor of a module was replaced, so none came or went
        _same(move, parameters | buffers, after.tensors)
    if free or blocks.tensors:
        _same(move, free, blocks.tensors)
    for name in out[0]:
        if not matches(name, writes):
            raise _stray(move, name)
    return out


def _same(move: Move, before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> None:
    """Refuses a move after which tensors that are not its own came, went or were replaced."""
    for name in before.keys() | after.keys():
        if after.get(name) is not before.get(name) and not matches(name, move.writes):
            raise _stray(move, name)


def _stray(move: Move, name: str) -> PluginError:
    return PluginError(f"move {move.name!r} writes {name!r}, outside {', '.join(sorted(move.writes))}")
