"""Codes: rows to codes, codes to rows, what lies between two rows, and sums of codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
import xarray as xr

from genprob.data.batch import as_batch
from genprob.data.table import Table
from genprob.errors import UsageError
from genprob.query.capabilities import Encodes

if TYPE_CHECKING:
    from genprob.joint import Joint

_DRAWS = 64
"""Rows of each code that a mean is taken over."""


def encode(joint: Joint, data: Any) -> xr.Dataset:
    """Codes of rows with or without holes: `code` and `code_sd` `[row, latent]`, the guide's mean and deviations.

    The guide approximates the posterior of the code; queries correct it, this does not. Raises `UsageError` for a
    joint that has no code.
    """
    model, table = coded(joint), joint.table(data)
    batch = as_batch(table, device=joint.reference.values.device, dtype=model.precision)
    with torch.no_grad():
        loc, scale = model.posterior(batch)
    dims = (joint.schema.sample_dim, "latent")
    return xr.Dataset({"code": (dims, loc.double().cpu().numpy()), "code_sd": (dims, scale.double().cpu().numpy())})


def decode(joint: Joint, codes: Any, *, draws: int = _DRAWS, seed: int = 0) -> xr.Dataset:
    """What rows with these codes `[n, latent]` are like: `draws` rows of each, dims (row, draw, ...), in data units."""
    return _asked(joint, codes, draws, seed)["posterior"].to_dataset().rename(query=joint.schema.sample_dim)


def interpolate(
    joint: Joint, data: Any, *, steps: int = 9, space: Literal["code", "data"] = "code", seed: int = 0
) -> xr.Dataset:
    """The way from the first to the second row of `data`, straight in code space or in the data's own numbers.

    Returns every numeric variable at `steps` places along dim `step` (in code space the mean of what the code decodes
    to; in data space the mixture of both rows) and `log_prob`, the log-density of what was passed: of the code under
    the prior, or of the row under the joint (binaries and counts rounded), in nats.
    """
    coded(joint)
    table = joint.table(data)
    if len(table) != 2 or steps < 2:
        raise UsageError(f"interpolate needs two rows and at least two steps, not {len(table)} and {steps}")
    share = np.linspace(0, 1, steps)[:, None]
    if space == "code":
        ends = encode(joint, data)["code"].values
        return _decoded(joint, (1 - share) * ends[0] + share * ends[1], seed).rename(query="step")
    if space != "data":
        raise UsageError(f"space={space!r} is not one of: code, data")
    values = (1 - share) * table.values[0] + share * table.values[1]
    whole = np.array([v.discrete for v in joint.schema.columns])
    rounded = np.where(whole, np.rint(values), values)
    score = joint.log_prob(Table(joint.schema, rounded).to_dataset(), seed=seed)["log_prob"].values
    out = {}
    for v in joint.schema:
        if v.support.kind != "categorical":
            part = values[:, joint.schema.slices[v.name]].reshape(steps, *v.shape)
            out[v.name] = (("step", *v.dims), part)
    found = xr.Dataset(out | {"log_prob": ("step", score.astype(np.float64))})
    return found.assign_coords({dim: labels for dim, labels in joint.schema.labels.items() if dim in found.dims})


def plane(
    joint: Joint, *, coordinates: tuple[int, int] = (0, 1), reach: float = 2.0, steps: int = 9, seed: int = 0
) -> xr.Dataset:
    """What lies on a plane of the code: two of its coordinates from -`reach` to `reach`, the others zero.

    Returns the mean of every numeric variable, dims (v, u, ...), with the two coordinates as `u` and `v`, and
    `log_prob`, the log-density of the code under the prior. Raises `UsageError` for coordinates that are not there.
    """
    model = coded(joint)
    first, second = coordinates
    if first == second or not all(0 <= c < model.latent for c in coordinates) or steps < 2 or not reach > 0:
        raise UsageError(
            f"plane takes two coordinates of 0 to {model.latent - 1}, a reach above 0 and two steps or more, not "
            f"{coordinates}, {reach} and {steps}"
        )
    ends = np.linspace(-reach, reach, steps)
    codes = np.zeros((steps, steps, model.latent))
    codes[..., first], codes[..., second] = ends[None, :], ends[:, None]
    drawn = _decoded(joint, codes.reshape(-1, model.latent), seed)
    out = {
        str(name): (("v", "u", *value.dims[1:]), value.values.reshape(steps, steps, *value.shape[1:]))
        for name, value in drawn.items()
    }
    return xr.Dataset(out, coords={**drawn.drop_vars("query", errors="ignore").coords, "u": ends, "v": ends})


def arithmetic(joint: Joint, data: Any, *, seed: int = 0) -> xr.Dataset:
    """What the first row's code minus the second's plus the third's decodes to.

    Returns, along dim `step`, the mean of every numeric variable at the codes of the three rows and at their sum, with
    `log_prob`, the log-density of each code under the prior, and the coordinate `term`. Raises `UsageError` unless
    there are three rows.
    """
    coded(joint)
    table = joint.table(data)
    if len(table) != 3:
        raise UsageError(
            f"arithmetic of codes needs three rows, the first minus the second plus the third, not {len(table)}"
        )
    ends = encode(joint, data)["code"].values
    found = _decoded(joint, np.concatenate([ends, ends[:1] - ends[1:2] + ends[2:]]), seed).rename(query="step")
    return found.assign_coords(term=("step", ["a", "b", "c", "a - b + c"]))


def coded(joint: Joint) -> Encodes:
    """The joint's model. Raises `UsageError` where it has no code that rows are encoded to."""
    if not isinstance(joint.model, Encodes):
        raise UsageError(
            f"{type(joint.model).__name__} has no code that rows are encoded to; fit a model with one, such as vae"
        )
    return joint.model


def _decoded(joint: Joint, codes: np.ndarray, seed: int) -> xr.Dataset:
    """Means of the numeric variables at codes `[n, latent]` along dim `query`, and the codes' own `log_prob`."""
    answer = _asked(joint, codes, _DRAWS, seed)
    drawn = answer["posterior"].to_dataset()
    numeric = drawn[[name for name, value in drawn.items() if value.dtype.kind in "iufM"]].mean("draw")
    score = answer["sample_stats"]["log_evidence"].values  # of a code alone: its density under the prior
    return numeric.drop_vars("query", errors="ignore").assign(log_prob=("query", score))


def _asked(joint: Joint, codes: Any, draws: int, seed: int) -> xr.DataTree:
    """The answer to what rows with each of these codes are like, its draws in one chain that is not named."""
    model, given = coded(joint), np.asarray(codes, dtype=np.float64)
    if given.ndim != 2 or given.shape[1] != model.latent:
        raise UsageError(f"codes have the shape {given.shape}, not [rows, {model.latent}]")
    answer = joint.query(rows=[{model.site: code} for code in given], draws=draws, seed=seed)
    return answer.map_over_datasets(lambda part: part.isel(chain=0, drop=True) if "chain" in part.dims else part)
