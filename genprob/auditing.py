"""Auditing a joint: every kind of evidence and share in turn, kept in the run as it goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr

from genprob.engine.run import Run
from genprob.engine.scope import running
from genprob.errors import UsageError
from genprob.query import audit as cells_of
from genprob.query.audit import LEAST, Audit
from genprob.query.capabilities import Draws
from genprob.request import whole
from genprob.results.file import open as open_result
from genprob.results.file import write

if TYPE_CHECKING:
    from genprob.joint import Joint

FILE = "audit.nc"


def read(run: Run) -> Audit | None:
    """The audit that a run keeps of its present answer, None if that was never audited."""
    if FILE not in run.files():
        return None
    found = open_result(run.path / FILE)
    assert isinstance(found, xr.Dataset)
    return Audit.from_dataset(found) if found.attrs.get("checkpoint") == run.step else None


def audit(
    joint: Joint, *, queries: int, shares: Sequence[float], kinds: Sequence[str], data: Any, strategy: str | None,
    budget: int | None, seed: int, resume: bool, progress: Callable[[dict[str, Any]], None] | None,
) -> xr.Dataset:  # fmt: skip
    """See `Joint.audit`."""
    queries, say = whole("queries", queries, LEAST), progress or (lambda event: None)
    checkpoint = joint.run.step if joint.run is not None and joint.run.step is not None else -1
    about = {
        "audited_queries": queries,
        "seed": seed,
        "strategy_asked": strategy or "",
        "budget": budget or 0,
        "checkpoint": checkpoint,
    }
    kept = joint.calibration.cells if resume and joint.calibration is not None and _same(joint, about) else ()
    cells = list(kept)
    sources = ["planted"] + (["held_out"] if data is not None else [])
    asked = [(source, kind, float(share)) for source in sources for kind in kinds for share in shares]
    for step, (source, kind, share) in enumerate(asked, start=1):
        if not any((c.source, c.kind, c.share) == (source, kind, share) for c in cells):
            rng = np.random.default_rng([seed, step])
            with running(joint.rng(seed + step)), torch.no_grad():
                truths = _planted(joint, queries) if source == "planted" else _held_out(joint, data, queries, rng)
                cells += cells_of.run(
                    joint, truths, source=source, kind=kind, share=share, strategy=strategy, budget=budget, rng=rng
                )
            _keep(joint, Audit(tuple(cells)), about)
        done = [c for c in cells if (c.source, c.kind, c.share) == (source, kind, share)]
        say({"step": step, "steps": len(asked), "cells": done})
    joint.calibration = Audit(tuple(cells))
    return joint.calibration.dataset().assign_attrs(about)


def _planted(joint: Joint, queries: int) -> np.ndarray:
    if not isinstance(joint.model, Draws):
        raise UsageError(f"{type(joint.model).__name__} cannot be sampled, so it cannot plant truths")
    return joint.model.draw(queries)


def _held_out(joint: Joint, data: Any, queries: int, rng: np.random.Generator) -> np.ndarray:
    values = joint.table(data).values
    return values[rng.choice(len(values), min(queries, len(values)), replace=False)]


def _same(joint: Joint, about: Mapping[str, Any]) -> bool:
    """True where the run keeps an audit of the same size, seed and strategy."""
    if joint.run is None or FILE not in joint.run.files():
        return False
    attrs = open_result(joint.run.path / FILE).attrs
    return all(attrs.get(name) == value for name, value in about.items())


def _keep(joint: Joint, found: Audit, about: Mapping[str, Any]) -> None:
    """Into the run, so that an audit that is stopped goes on from there."""
    if joint.run is not None:
        with joint.run:
            joint.run.keep(FILE, lambda path: write(found.dataset().assign_attrs(about), path))
