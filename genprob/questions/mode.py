"""The likeliest of many draws: what can be said of a mode without pretending to have found the optimum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from genprob.data.table import Table
from genprob.query.batch import QueryBatch
from genprob.questions.asked import asked
from genprob.questions.density import log_density

if TYPE_CHECKING:
    from genprob.joint import Joint


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
        points = answers.values[0].reshape(-1, joint.schema.width)
        points = points[np.unique(points[:, query.asked[0]], axis=0, return_index=True)[1]]
        score, _ = log_density(joint, query, points, query.asked[0], seed, budget)
        best, level = points[np.argmax(score)], float(score.max())
        caveat = f"the likeliest of {len(points)} distinct draws, not an optimum; a density's mode moves with its units"
    schema = replace(joint.schema, sample_dim="query")
    values = np.where(query.asked[0], best, np.nan)[None]
    out = Table(schema, values).to_dataset()[list(names)].isel(query=0)
    return out.assign_attrs(log_prob=level, caveat=caveat, reliable=int(answers.reliable[0]))


def _likeliest_level(joint: Joint, name: str, pmf: np.ndarray) -> np.ndarray:
    out = np.zeros(joint.schema.width)
    out[joint.schema.slices[name]] = pmf.reshape(-1, pmf.shape[-1]).argmax(-1)
    return out
