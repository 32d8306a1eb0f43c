"""Influence: which piece of evidence moved the targets, and by how many nats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from genprob.errors import UsageError
from genprob.query.batch import QueryBatch
from genprob.query.evidence import wording
from genprob.questions.asked import asked
from genprob.questions.density import log_density

if TYPE_CHECKING:
    from genprob.joint import Joint


def influence(
    joint: Joint, targets: Sequence[str], given: Mapping[str, Any], *, draws: int, seed: int, budget: int | None
) -> xr.Dataset:
    """See `Joint.influence`."""
    if not given:
        raise UsageError("nothing is given, so nothing can have moved the target; give some evidence")
    rows = [dict(given)] + [{k: v for k, v in given.items() if k != name} for name in given]
    queries = QueryBatch.from_evidence(joint.schema, rows, targets)
    answers = asked(joint, queries, draws, seed, budget)
    first = answers.marginals[targets[0]]
    if len(targets) == 1 and first.pmf is not None and joint.schema[targets[0]].cardinality is not None:
        change, error = _of_pmfs(first.pmf.reshape(len(rows), -1, first.pmf.shape[-1])), np.zeros(len(given))
        if not first.rao_blackwell:
            error = np.full(len(given), np.nan)
    else:
        change, error = _of_densities(joint, queries, answers.values[0], seed, budget)
    labels = [wording(value) for value in given.values()]
    variables: dict[str, Any] = {
        "change": ("evidence", change, {"units": "nats"}),
        "standard_error": ("evidence", error, {"units": "nats"}),
        "value": ("evidence", np.array(labels, dtype=str)),
    }
    if len(targets) == 1 and first.pmf is None and first.mean.ndim == 1:
        variables["mean_without"] = ("evidence", first.mean[1:], {"long_name": f"mean of {targets[0]} without it"})
        variables["mean"] = ((), first.mean[0], {"long_name": f"mean of {targets[0]} given all"})
    attrs = {"targets": ", ".join(targets), "reliable": int(answers.reliable.all()), "reasons": answers.reasons[0]}
    return xr.Dataset(variables, {"evidence": list(given)}, attrs).sortby("change", ascending=False)


def _of_pmfs(pmf: np.ndarray) -> np.ndarray:
    """KL(all || without one) of discrete targets, `[evidence]`, summed over cells of an array."""
    whole, without = pmf[0], pmf[1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(whole > 0, whole * (np.log(whole) - np.log(without)), 0.0)
    return terms.sum((-2, -1))


def _of_densities(
    joint: Joint, queries: QueryBatch, values: np.ndarray, seed: int, budget: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """KL(all || without one) as the mean over draws of log p(t | all) - log p(t | without), and its standard error."""
    points, columns = values.reshape(-1, values.shape[-1]), queries.asked[0]
    whole, noise = log_density(joint, queries.take(slice(0, 1)), points, columns, seed, budget)
    change, error = [], []
    for q in range(1, len(queries)):
        without, other = log_density(joint, queries.take(slice(q, q + 1)), points, columns, seed, budget)
        ratio = whole - without
        change.append(ratio.mean())
        error.append(np.sqrt(ratio.var() / len(ratio) + (noise**2 + other**2).mean() / len(ratio)))
    return np.array(change), np.array(error)
