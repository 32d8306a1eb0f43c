"""The hook menu: everything a plugin can contribute. Hooks return iterables of frozen specs; none is firstresult."""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from genprob.spec import DatasetSpec, InferenceSpec, MetricSpec, ModelSpec, StrategySpec

PROJECT = "genprob"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def genprob_models() -> Iterable[ModelSpec]:  # pyright: ignore[reportReturnType]
    """Model families."""


@hookspec
def genprob_inferences() -> Iterable[InferenceSpec]:  # pyright: ignore[reportReturnType]
    """Ways to train a model: moves over named blocks."""


@hookspec
def genprob_strategies() -> Iterable[StrategySpec]:  # pyright: ignore[reportReturnType]
    """Ways to answer a query."""


@hookspec
def genprob_metrics() -> Iterable[MetricSpec]:  # pyright: ignore[reportReturnType]
    """Figures of merit for `genprob evaluate`."""


@hookspec
def genprob_datasets() -> Iterable[DatasetSpec]:  # pyright: ignore[reportReturnType]
    """Named data sets that `genprob.read` and `genprob fit` accept in place of a path."""
