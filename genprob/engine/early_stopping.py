"""Early stopping: ends a fit when the held-out log-density stops rising, and marks the best step."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from genprob.data.batch import Batch
from genprob.engine.capabilities import HeldOutScore
from genprob.engine.state import Memory, State

_ROWS = 4096


@dataclass(frozen=True)
class EarlyStopping:
    """An observer of a fit; its memory lies in the state, so that a resumed fit stops where the unbroken one does.

    Arguments:
        model: what scores rows.
        held: the held-out rows.
        every: steps between evaluations.
        patience: evaluations without improvement before it asks to stop.
    """

    model: HeldOutScore
    held: Batch
    every: int
    patience: int

    def observe(self, state: State) -> float | None:
        """The mean held-out log-density in nats per row, when it is time to look; else None."""
        if state.step % self.every:
            return None
        with torch.no_grad(), state.rng.swapped_in():
            parts = [self.model.score_rows(self.held.take(i)) for i in torch.arange(len(self.held)).split(_ROWS)]
            score = float(torch.cat(parts).mean())
        memory = self._memory(state)
        if math.isfinite(score) and score > memory["best"]:
            memory.update(best=score, best_step=state.step, waited=0)
        else:
            memory["waited"] += 1
        return score

    def best(self, state: State) -> bool:
        """True if the present step is the best so far."""
        return self._memory(state)["best_step"] == state.step

    def ended(self, state: State) -> bool:
        """True if patience has run out."""
        return self._memory(state)["waited"] >= self.patience

    def _memory(self, state: State) -> Memory:
        return state.memory.setdefault("early stopping", {"best": -math.inf, "best_step": 0, "waited": 0})
