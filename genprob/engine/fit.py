"""The fit loop: a generator, so that the caller owns logging, stopping and saving."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import pyro
from torch import Tensor, nn

from genprob.data.batch import Batch
from genprob.engine.blocks import Blocks
from genprob.engine.move import Metrics, Move
from genprob.engine.phase import Phase
from genprob.engine.state import State
from genprob.errors import PluginError


class Batches(Protocol):
    """Where rows come from: a function of the step, so that resuming is exact."""

    def __call__(self, step: int) -> Batch: ...

    def full(self) -> Batch: ...


def fit(phases: Sequence[Phase], state: State, batches: Batches | None = None) -> Iterator[Metrics]:
    """Runs the phases from where `state` stands, yielding each step's metrics as tensors (keys `"move.metric"`).

    The state's own random numbers are in place only while a step runs, and no pyro setting outlives a step, so the
    caller's random numbers and settings never change. `state` is up to date, and may be saved, at each yield.
    """
    for phase in phases:
        names = [m.name for m in phase.moves]
        if len(set(names)) < len(names):
            raise PluginError(f"phase {phase.name!r} has two moves of one name: {', '.join(names)}")
    while not state.finished:
        phase = phases[state.phase]
        if state.phase_step < phase.steps:
            with state.rng.swapped_in(), pyro.settings.context(module_local_params=True):
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
    fresh = sum(m.repeat for m in phase.moves if m.data == "fresh") or 1
    drawn = 0
    shared: Batch | None = None
    for move in phase.moves:
        if state.phase_step % move.every:
            continue
        for _ in range(move.repeat):
            batch: Batch | None = None
            if move.data != "none":
                if batches is None:
                    raise PluginError(f"move {move.name!r} wants data, but the fit was given none")
                if move.data == "full":
                    batch = batches.full()
                elif move.data == "fresh":
                    batch = batches(state.step * fresh + drawn)
                    drawn += 1
                else:
                    shared = shared if shared is not None else batches(state.step * fresh)
                    batch = shared
            if move.name not in state.memory:
                state.memory[move.name] = move.init(state.blocks)
            with _only(move, state.blocks):
                updates, memory, found = move.apply(state.blocks, state.memory[move.name], batch)
            stray = [n for n in updates if not _matches(n, move.writes)]
            if stray:
                raise PluginError(f"move {move.name!r} writes {stray[0]!r}, outside {', '.join(sorted(move.writes))}")
            state.blocks.assign(updates)
            state.memory[move.name] = memory
            metrics.update({f"{move.name}.{key}": value for key, value in found.items()})
    return metrics


def _matches(name: str, patterns: frozenset[str]) -> bool:
    from fnmatch import fnmatchcase

    return any(fnmatchcase(name, p) for p in patterns)


@contextmanager
def _only(move: Move, blocks: Blocks) -> Iterator[None]:
    """Lets a move write its own blocks only: other buffers are given back as they were, other writes are refused."""
    foreign = {k: t for k, t in blocks.flat().items() if not _matches(k, move.writes)}
    buffers: dict[str, tuple[Tensor, Tensor]] = {}
    versions: dict[str, int] = {}
    for name, tensor in foreign.items():
        if isinstance(tensor, nn.Parameter) or name in blocks.tensors:
            versions[name] = tensor._version
        else:
            buffers[name] = (tensor, tensor.clone())
            versions[name] = tensor._version
    yield
    for name, version in versions.items():
        tensor = foreign[name]
        if tensor._version == version:
            continue
        if name not in buffers:
            raise PluginError(f"move {move.name!r} wrote {name!r} in place, outside {', '.join(sorted(move.writes))}")
        tensor.data.copy_(buffers[name][1])
