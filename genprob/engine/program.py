"""A program: what an inference makes of a model, ready for the fit loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, nn

from genprob.data.batch import Batch
from genprob.engine import graph
from genprob.engine.blocks import Blocks
from genprob.engine.descend import Descend
from genprob.engine.phase import Phase
from genprob.engine.state import State


@dataclass(frozen=True)
class PosteriorDraws:
    """Draws of a model's unknowns.

    Attributes:
        unknowns: name -> `[chain, draw, *event]`.
        stats: name -> `[chain, draw]`, in ArviZ's names (`lp`: the log-posterior up to a constant).
        roles: name -> `parameter`, or `latent` for one that each row has its own of.
        dims: name -> names of the dims that its event begins with, where they have names.
    """

    unknowns: Mapping[str, Tensor]
    stats: Mapping[str, Tensor]
    roles: Mapping[str, str] = field(default_factory=dict)
    dims: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Program:
    """Phases over blocks, and how the fit is watched.

    Attributes:
        phases: in order.
        blocks: the blocks they move; the model's tensors are under `"model."`.
        watch: the metric shown live, `"move.metric"`.
        batch_size: rows of a fresh batch.
        holdout: share of the rows kept from training to stop early by, 0 for none.
        patience: evaluations without a better held-out score before the fit stops.
        evaluate_every: steps between evaluations.
        posterior: for an inference whose answer is draws of the model's unknowns: those that a state holds, given
            all rows; None before the first.
        check: looks at all rows before the first step, and raises what makes the fit impossible.
        notes: what was decided here and the user should know, one line each.
    """

    phases: tuple[Phase, ...]
    blocks: Blocks
    watch: str
    batch_size: int = 256
    holdout: float = 0.0
    patience: int = 10
    evaluate_every: int = 50
    posterior: Callable[[State, Batch], PosteriorDraws | None] | None = None
    check: Callable[[Batch], object] | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def descending(cls, model: nn.Module, move: Descend, steps: int, **watched: Any) -> Program:
        """One phase of a descent of all of a model, named like it; `watched` is how the fit is watched.

        A descent that is to be compiled where there is no compiler is not, and a note says so.
        """
        notes: tuple[str, ...] = ()
        if move.compiled and graph.compiler() is None:
            move, notes = replace(move, compiled=0), (graph.NO_COMPILER,)
        phases = (Phase((move,), steps, name=move.name),)
        return cls(phases, Blocks({"model": model}), f"{move.name}.loss", notes=notes, **watched)
