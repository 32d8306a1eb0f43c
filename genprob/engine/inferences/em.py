"""Expectation maximisation: two closed-form moves."""

from __future__ import annotations

from typing import cast

from torch import Tensor

from genprob.data.batch import Batch
from genprob.engine.assign import Assign
from genprob.engine.blocks import Blocks
from genprob.engine.capabilities import ExpectationMaximisation, require
from genprob.engine.move import Metrics
from genprob.engine.phase import Phase
from genprob.engine.program import Program
from genprob.engine.state import State
from genprob.model import Model


def em(
    model: Model,
    *,
    steps: int = 100,
    tolerance: float = 1e-4,
    holdout: float = 0.0,
    patience: int = 10,
    evaluate_every: int = 5,
) -> Program:
    """EM on sufficient statistics (Dempster, Laird and Rubin 1977); a step is one iteration over all rows.

    Arguments:
        steps: most iterations.
        tolerance: stops when the objective rises by less, in nats per row; 0 runs all iterations.
        holdout: share of the rows kept to stop early by.
        patience: evaluations without a better held-out score before it stops.
        evaluate_every: iterations between evaluations.
    """
    require(model, ExpectationMaximisation, "em", "a closed-form E- and M-step")
    solver = cast(ExpectationMaximisation, model)

    def expect(blocks: Blocks, batch: Batch | None) -> tuple[dict[str, Tensor], Metrics]:
        assert batch is not None
        statistics, metrics = solver.expectation(batch)
        return {f"statistics.{k}": v for k, v in statistics.items()}, metrics

    def maximise(blocks: Blocks, batch: Batch | None) -> tuple[dict[str, Tensor], Metrics]:
        assert batch is not None
        statistics = {k.removeprefix("statistics."): v for k, v in blocks.select(["statistics.*"]).items()}
        return {f"model.{k}": v for k, v in solver.maximisation(statistics, batch).items()}, {}

    def converged(state: State, metrics: Metrics) -> bool:
        objective = float(metrics["expectation.objective"])
        memory = state.memory.setdefault("converged", {"last": float("-inf")})
        gain, memory["last"] = objective - memory["last"], objective
        return gain < tolerance and tolerance > 0

    moves = (
        Assign("expectation", frozenset({"statistics.*"}), expect),
        Assign("maximisation", frozenset({"model.*"}), maximise),
    )
    return Program(
        (Phase(moves, steps, converged, "em"),),
        Blocks({"model": model}),
        "expectation.log_likelihood",
        holdout=holdout,
        patience=patience,
        evaluate_every=evaluate_every,
    )
