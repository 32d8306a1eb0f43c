"""The probability of an event, given evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from genprob.errors import UsageError
from genprob.query import roles
from genprob.query.batch import LIKELIHOOD, NOISY, NOTHING, POINT, QueryBatch
from genprob.query.evidence import wording
from genprob.query.likelihood import log_likelihood
from genprob.questions.asked import Asked, asked

if TYPE_CHECKING:
    from genprob.joint import Joint

_FEW = 50
"""With fewer draws in the event than that, its probability is sought by log-evidences as well."""


def probability(
    joint: Joint,
    event: Mapping[str, Any],
    given: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None,
    *,
    draws: int,
    seed: int,
    budget: int | None,
) -> xr.DataArray:
    """See `Joint.probability`."""
    single = given is None or isinstance(given, Mapping)
    rows: list[dict[str, Any]] = [dict(given or {})] if single else [dict(row) for row in given]  # pyright: ignore
    _check(joint, event, rows)
    known = roles.queries(joint, rows, tuple(event))
    both = QueryBatch.from_evidence(known.schema, [row | dict(event) for row in rows])
    if roles.extended(known, joint.schema):  # what a program has no law of need not be asked to weigh an event
        both = replace(both, asked=np.zeros_like(both.asked))
    below, above = asked(joint, known, 1, seed, budget), asked(joint, both, 1, seed, budget)
    value = np.exp(np.minimum(above.log_evidence - below.log_evidence, 0.0))
    error = value * np.hypot(above.log_evidence_se, below.log_evidence_se)
    exact = (below.guarantee == "exact") & (above.guarantee == "exact") & (error == 0)
    failed = ~(below.computed & above.computed)
    if not exact.all():
        counted, spread = _counted(joint, known, both, draws, seed, budget)
        few = counted * draws < _FEW
        better = ~exact & (~few | ~np.isfinite(error)) & ((spread < error) | ~np.isfinite(error) | failed)
        value, error = np.where(better, counted, value), np.where(better, spread, error)
        failed = np.where(better, ~below.computed, failed)
    return _labelled(value, error, exact, failed, below, event, single)


def _check(joint: Joint, event: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    if not event:
        raise UsageError("the event names no variable; give e.g. {'y': Within(3, None)}")
    for row in rows:
        for name in event:
            if name in row:
                raise UsageError(f"variable {name!r} is in the event and is given as well; name it once")
    schema = roles.named(joint, event)
    held = QueryBatch.from_evidence(schema, [dict(event)])
    for j, variable in enumerate(schema.columns):
        kind = held.kind[0, j]
        if kind in (NOISY, LIKELIHOOD):
            raise UsageError(f"variable {variable.name!r}: a noisy reading is evidence, no event; give a range or set")
        if kind == POINT and variable.measure is not None and variable.measure.text() == "lebesgue":
            raise UsageError(
                f"variable {variable.name!r} is a true real and has any one value with probability zero; give a range"
            )


def _counted(
    joint: Joint, known: QueryBatch, both: QueryBatch, draws: int, seed: int, budget: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """The share of draws given the evidence that fall into the event, and its standard error."""
    answer = asked(joint, known, draws, seed, budget)
    event = replace(both, kind=np.where(known.kind == NOTHING, both.kind, NOTHING).astype(np.int8))
    shares = np.zeros(len(known))
    for q, values in enumerate(answer.values):
        shares[q] = np.isfinite(log_likelihood(event, q, values.reshape(-1, values.shape[-1]))).mean()
    count = np.fmin(answer.ess, draws)
    count = np.where(np.isfinite(count), count, draws)
    return shares, np.sqrt(np.maximum(shares * (1 - shares), 1 / count) / count)


def _labelled(
    value: np.ndarray, error: np.ndarray, exact: np.ndarray, failed: np.ndarray, below: Asked,
    event: Mapping[str, Any], single: bool,
) -> xr.DataArray:  # fmt: skip
    reliable = below.reliable & ~failed
    guarantee = np.where(exact | (below.guarantee != "exact"), below.guarantee, "consistent")
    out = xr.DataArray(
        value,
        dims=("query",),
        coords={
            "standard_error": ("query", error),
            "reliable": ("query", reliable.astype(np.int64)),
            "guarantee": ("query", guarantee.astype(str)),
            "reasons": ("query", np.array(below.reasons, dtype=str)),
        },
        name="probability",
        attrs={"event": "; ".join(f"{k} {wording(v)}" for k, v in event.items())},
    )
    return out[0] if single else out
