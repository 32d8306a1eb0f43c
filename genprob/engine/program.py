"""A program: what an inference makes of a model, ready for the fit loop."""

from __future__ import annotations

from dataclasses import dataclass

from genprob.engine.blocks import Blocks
from genprob.engine.phase import Phase


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
    """

    phases: tuple[Phase, ...]
    blocks: Blocks
    watch: str
    batch_size: int = 256
    holdout: float = 0.0
    patience: int = 10
    evaluate_every: int = 50
