"""Codes: rows to codes, codes to rows, and what lies between two rows."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
import xarray as xr

from genprob.data.batch import as_batch
from genprob.data.table import Table
from genprob.errors import UsageError
from genprob.joint import Joint
from genprob_variational.vae import VAE


def encode(joint: Joint, data: Any) -> xr.Dataset:
    """Codes of rows with or without holes: `code` and `code_sd` `[row, latent]`, the guide's mean and deviations.

    The guide approximates the posterior of the code; queries correct it, this does not. Raises `UsageError` for a
    joint that has no code.
    """
    model, table = _vae(joint), joint.table(data)
    batch = as_batch(table, device=joint.reference.values.device, dtype=model.precision)
    with torch.no_grad():
        loc, scale = model.posterior(batch)
    dims = (joint.schema.sample_dim, "latent")
    return xr.Dataset({"code": (dims, loc.double().cpu().numpy()), "code_sd": (dims, scale.double().cpu().numpy())})


def decode(joint: Joint, codes: Any, *, draws: int = 64, seed: int = 0) -> xr.Dataset:
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
    _vae(joint)
    table = joint.table(data)
    if len(table) != 2 or steps < 2:
        raise UsageError(f"interpolate needs two rows and at least two steps, not {len(table)} and {steps}")
    share = np.linspace(0, 1, steps)[:, None]
    if space == "code":
        ends = encode(joint, data)["code"].values
        answer = _asked(joint, (1 - share) * ends[0] + share * ends[1], 64, seed)
        drawn = answer["posterior"].to_dataset().mean("draw")
        score = answer["sample_stats"]["log_evidence"].values  # of a code alone: its density under the prior
        return xr.Dataset(
            {str(name): (("step", *value.dims[1:]), value.values) for name, value in drawn.items()}
            | {"log_prob": ("step", score)}
        )
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
    return xr.Dataset(out | {"log_prob": ("step", score.astype(np.float64))})


def plane(
    joint: Joint, *, coordinates: tuple[int, int] = (0, 1), reach: float = 2.0, steps: int = 9, seed: int = 0
) -> xr.Dataset:
    """What lies on a plane of the code: two of its coordinates from -`reach` to `reach`, the others zero.

    Returns the mean of every numeric variable, dims (v, u, ...), with the two coordinates as `u` and `v`, and
    `log_prob`, the log-density of the code under the prior. Raises `UsageError` for coordinates that are not there.
    """
    model = _vae(joint)
    first, second = coordinates
    if first == second or not all(0 <= c < model.latent for c in coordinates) or steps < 2 or not reach > 0:
        raise UsageError(
            f"plane takes two coordinates of 0 to {model.latent - 1}, a reach above 0 and two steps or more, not "
            f"{coordinates}, {reach} and {steps}"
        )
    ends = np.linspace(-reach, reach, steps)
    codes = np.zeros((steps, steps, model.latent))
    codes[..., first], codes[..., second] = ends[None, :], ends[:, None]
    answer = _asked(joint, codes.reshape(-1, model.latent), 64, seed)
    drawn = answer["posterior"].to_dataset().mean("draw")
    out = {
        str(name): (("v", "u", *value.dims[1:]), value.values.reshape(steps, steps, *value.shape[1:]))
        for name, value in drawn.items()
    }
    score = answer["sample_stats"].to_dataset()["log_evidence"].values.reshape(steps, steps)
    return xr.Dataset(out | {"log_prob": (("v", "u"), score)}, coords={"u": ends, "v": ends})


def _vae(joint: Joint) -> VAE:
    if not isinstance(joint.model, VAE):
        raise UsageError(f"{type(joint.model).__name__} has no code; fit a vae or ssvae")
    return joint.model


def _asked(joint: Joint, codes: Any, draws: int, seed: int) -> xr.DataTree:
    """The answer to what rows with each of these codes are like, its draws in one chain that is not named."""
    site, given = _vae(joint).site, np.asarray(codes, dtype=np.float64)
    if given.ndim != 2 or given.shape[1] != _vae(joint).latent:
        raise UsageError(f"codes have the shape {given.shape}, not [rows, {_vae(joint).latent}]")
    answer = joint.query(rows=[{site: code} for code in given], draws=draws, seed=seed)
    return answer.map_over_datasets(lambda part: part.isel(chain=0, drop=True) if "chain" in part.dims else part)
