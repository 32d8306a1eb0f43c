"""Surprise: how unexpected each cell of a row is, given the row's other cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import xarray as xr

from genprob.data.table import Table
from genprob.engine.scope import running
from genprob.query.capabilities import Ensemble, ScoresCells
from genprob.query.scoring import log_evidence

if TYPE_CHECKING:
    from genprob.joint import Joint


_WEIGHED = (
    "members are weighed by p(row | member) over some orders, divided by their p(cell | rest): where orders disagree "
    "that is not quite p(rest | member), and `standard_error` leaves it out"
)


def surprise(joint: Joint, table: Table, seed: int) -> xr.Dataset:
    """See `Joint.surprise`."""
    reference = joint.reference
    known = reference.observed.cpu().numpy()
    usual, _ = _surprises(joint, np.where(known, reference.values.double().cpu().numpy(), np.nan), seed)
    found, error = _surprises(joint, table.values, seed)
    rank, excess = np.full(found.shape, np.nan), np.full(found.shape, np.nan)
    for j in range(found.shape[1]):
        least = np.sort(usual[:, j][np.isfinite(usual[:, j])])
        if len(least):
            rank[:, j] = np.searchsorted(least, found[:, j], side="left") / len(least)
            excess[:, j] = found[:, j] - least.mean()
    rank[np.isnan(found)] = np.nan
    model, dim = joint.model, joint.schema.sample_dim
    weighed = isinstance(model, ScoresCells) and isinstance(model, Ensemble) and model.members > 1
    dims, names = (dim, "variable"), list(joint.schema.names)
    coords = {"variable": names} | ({} if table.coord is None else {dim: (dim, table.coord)})
    return xr.Dataset(
        {
            "surprise": (dims, found, {"units": "nats"}),
            "standard_error": (dims, error, {"units": "nats"}),
            "excess": (
                dims,
                excess,
                {"units": "nats", "long_name": "surprise above that of the average training cell"},
            ),
            "rank": (dims, rank, {"long_name": "share of training cells of the variable that are less surprising"}),
        },
        coords,
        {
            "model": type(model).__name__,
            "reference_rows": len(usual),
            "kind": "exact" if isinstance(model, ScoresCells) and not weighed else "estimate",
            "reasons": _WEIGHED if weighed else "",
        },
    )


def _surprises(joint: Joint, values: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """-log p(variable | the rest that is known) `[rows, variables]`, NaN where it is unknown, and standard errors."""
    schema = joint.schema
    out, error = np.full((len(values), len(schema)), np.nan), np.full((len(values), len(schema)), np.nan)
    with running(joint.rng(seed)), torch.no_grad():
        if isinstance(joint.model, ScoresCells):
            for part in joint.chunks(len(values), 1):
                out[part] = -joint.model.log_conditionals(values[part])
            return out, np.where(np.isnan(out), np.nan, 0.0)
        whole = log_evidence(joint, values)
        for j, name in enumerate(schema.names):
            columns = schema.slices[name]
            rows = ~np.isnan(values[:, columns]).all(1)
            if not rows.any():
                continue
            blank = values[rows].copy()
            blank[:, columns] = np.nan
            rest = log_evidence(joint, blank)
            out[rows, j] = rest.value - whole.value[rows]
            error[rows, j] = np.hypot(rest.error, whole.error[rows])
    return out, error
