"""Early stopping: ends a fit when the held-out log-density stops rising, and marks the best step."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from genprob.data.batch import Batch
from genprob.engine.averages import averaged
from genprob.engine.capabilities import HeldOutScore, Validates
from genprob.engine.scope import running
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
        """The mean held-out log-density in nats per row, when it is time to look; else None.

        Judged is what would be saved as the best: averages of parameters where a move keeps them.
        """
        if state.step % self.every:
            return None
        rows = torch.arange(len(self.held), device=self.held.values.device)
        score_rows = self.model.validate if isinstance(self.model, Validates) else self.model.score_rows
        with torch.no_grad(), running(state.rng), self._judging(), averaged(state):
            score = float(torch.cat([score_rows(self.held.take(i)) for i in rows.split(_ROWS)]).mean())
        memory = self._memory(state)
        if math.isfinite(score) and score > memory["best"]:
            memory.update(best=score, best_step=state.step, waited=0)
        else:
            memory["waited"] += 1
        return score

    @contextmanager
    def _judging(self) -> Iterator[None]:
        """Dropout and running statistics rest while rows are scored."""
        modules = list(self.model.modules()) if isinstance(self.model, nn.Module) else []
        modes = [module.training for module in modules]
        for module in modules:
            module.training = False
        try:
            yield
        finally:
            for module, mode in zip(modules, modes, strict=True):
                module.training = mode

    def best(self, state: State) -> bool:
        """True if the present step is the best so far."""
        return self._memory(state)["best_step"] == state.step

    def ended(self, state: State) -> bool:
        """True if patience has run out."""
        return self._memory(state)["waited"] >= self.patience

    def _memory(self, state: State) -> Memory:
        return state.memory.setdefault("early stopping", {"best": -math.inf, "best_step": 0, "waited": 0})
