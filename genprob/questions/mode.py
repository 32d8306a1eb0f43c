"""The likeliest of many points: what can be said of a mode without pretending to have found the optimum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from genprob.data.table import Table
from genprob.query.batch import NOTHING, POINT, QueryBatch
from genprob.questions.asked import asked
from genprob.questions.density import direct, log_density

if TYPE_CHECKING:
    from genprob.joint import Joint

_SCREENED, _EVIDENCES = 64, 6
"""Points that are weighed against evidence other than points, the most promising by so many draws of it."""
_SWEEPS, _SHARE, _GAIN = 2, 5, 1e-6
"""How often the targets are gone through, which part of the draws each is tried at, and what counts as likelier."""


def mode(
    joint: Joint, targets: Sequence[str] | None, given: Mapping[str, Any], *, draws: int, seed: int, budget: int | None
) -> xr.Dataset:
    """See `Joint.mode`."""
    query = QueryBatch.from_evidence(joint.schema, [dict(given)], targets)
    names = query.targets
    answers = asked(joint, query, draws, seed, budget)
    first = answers.marginals[names[0]]
    if len(names) == 1 and first.pmf is not None and joint.schema[names[0]].cardinality is not None:
        best, level, caveat = _likeliest_level(joint, names[0], first.pmf[0]), float(np.log(first.pmf[0].max())), ""
    else:
        points = _distinct(answers.values[0].reshape(-1, joint.schema.width), query.asked[0])
        tried, found = len(points), "draws"
        if not direct(joint, query):
            points = _promising(joint, query, points, seed)
        score, _ = log_density(joint, query, points, query.asked[0], seed, budget)
        best, level = points[np.argmax(score)], float(score.max())
        if direct(joint, query):
            best, level, more = _climbed(joint, query, best, level, max(1, draws // _SHARE), seed)
            tried, found = tried + more, "draws and values near them"
        caveat = f"the likeliest of {tried} distinct {found}, not an optimum; a density's mode moves with its units"
    schema = replace(joint.schema, sample_dim="query")
    values = np.where(query.asked[0], best, np.nan)[None]
    out = Table(schema, values).to_dataset()[list(names)].isel(query=0)
    return out.assign_attrs(log_prob=level, caveat=caveat, reliable=int(answers.reliable[0]))


def _likeliest_level(joint: Joint, name: str, pmf: np.ndarray) -> np.ndarray:
    out = np.zeros(joint.schema.width)
    out[joint.schema.slices[name]] = pmf.reshape(-1, pmf.shape[-1]).argmax(-1)
    return out


def _distinct(points: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return points[np.unique(points[:, columns], axis=0, return_index=True)[1]]


def _promising(joint: Joint, query: QueryBatch, points: np.ndarray, seed: int) -> np.ndarray:
    """The points that are likeliest on average over some draws of what the evidence leaves open; all if none is known.

    Draws of the evidence follow p(its values | evidence), so that the average estimates p(point | evidence).
    """
    told = (query.kind[0] != NOTHING) & (query.kind[0] != POINT)
    some = points[np.linspace(0, len(points) - 1, _EVIDENCES).astype(int)][:, told]
    sharp = replace(query, kind=np.where(told, POINT, query.kind).astype(np.int8))
    if len(points) <= _SCREENED or not direct(joint, sharp) or np.isnan(some).any():
        return points
    total = np.full(len(points), -np.inf)
    for values in some:
        a = query.a.copy()
        a[:, told] = values
        score, _ = log_density(joint, replace(sharp, a=a), points, query.asked[0], seed, None)
        total = np.logaddexp(total, score)
    return points[np.argsort(-total)[:_SCREENED]]


def _climbed(
    joint: Joint, query: QueryBatch, best: np.ndarray, level: float, draws: int, seed: int
) -> tuple[np.ndarray, float, int]:
    """One target after the other at draws of it given all else, as long as that finds likelier points."""
    columns, tried = query.asked[0], 0
    for _ in range(_SWEEPS):
        before = level
        for j in np.flatnonzero(columns).tolist():
            rest = columns.copy()
            rest[j] = False
            told = replace(
                query, kind=np.where(rest, POINT, query.kind).astype(np.int8), a=np.where(rest, best, query.a),
                asked=(columns & ~rest)[None], names=None,
            )  # fmt: skip
            values = np.unique(asked(joint, told, draws, seed).values[..., j])
            points = np.repeat(best[None], len(values), 0)
            points[:, j] = values
            score, _ = log_density(joint, query, points, columns, seed, None)
            tried += len(points)
            if score.max() > level + _GAIN:
                best, level = points[np.argmax(score)], float(score.max())
        if level <= before:
            break
    return best, level, tried
