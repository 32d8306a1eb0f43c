"""Codes: rows to codes, codes to rows, and what lies between two rows."""

from __future__ import annotations

from typing import Any, Literal, cast

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from genprob.data.batch import as_batch
from genprob.data.table import Table
from genprob.engine.randomness import Randomness
from genprob.engine.scope import running
from genprob.errors import UsageError
from genprob.joint import Joint
from genprob.query.batch import QueryBatch
from genprob.query.emission import draw
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
    model = _vae(joint)
    values = _rows(model, _codes(model, codes), draws, seed)
    flat = Table(joint.schema, values.reshape(-1, values.shape[-1])).to_dataset()
    dim = joint.schema.sample_dim
    split = {
        str(name): ((dim, "draw", *v.dims[1:]), v.values.reshape(*values.shape[:2], *v.shape[1:]), v.attrs)
        for name, v in flat.data_vars.items()
    }
    return xr.Dataset(split)


def interpolate(
    joint: Joint, data: Any, *, steps: int = 9, space: Literal["code", "data"] = "code", seed: int = 0
) -> xr.Dataset:
    """The way from the first to the second row of `data`, straight in code space or in the data's own numbers.

    Returns every numeric variable at `steps` places along dim `step` (in code space the mean of what the code decodes
    to; in data space the mixture of both rows) and `log_prob`, the log-density of what was passed: of the code under
    the prior, or of the row under the joint (binaries and counts rounded), in nats.
    """
    model, table = _vae(joint), joint.table(data)
    if len(table) != 2 or steps < 2:
        raise UsageError(f"interpolate needs two rows and at least two steps, not {len(table)} and {steps}")
    share = np.linspace(0, 1, steps)[:, None]
    if space == "code":
        ends = encode(joint, data)["code"].values
        path = torch.as_tensor((1 - share) * ends[0] + share * ends[1], dtype=torch.float32)
        values = _rows(model, path.to(joint.reference.values.device), 64, seed).mean(1)
        with torch.no_grad():
            score = cast(Any, model.prior).law().log_prob(path.to(joint.reference.values.device)).cpu().numpy()
    elif space == "data":
        values = (1 - share) * table.values[0] + share * table.values[1]
        whole = np.array([v.discrete for v in joint.schema.columns])
        rounded = np.where(whole, np.rint(values), values)
        score = joint.log_prob(Table(joint.schema, rounded).to_dataset(), seed=seed)["log_prob"].values
    else:
        raise UsageError(f"space={space!r} is not one of: code, data")
    out = {}
    for v in joint.schema:
        if v.support.kind != "categorical":
            part = values[:, joint.schema.slices[v.name]].reshape(steps, *v.shape)
            out[v.name] = (("step", *v.dims), part)
    return xr.Dataset(out | {"log_prob": ("step", score.astype(np.float64))})


def _vae(joint: Joint) -> VAE:
    if not isinstance(joint.model, VAE):
        raise UsageError(f"{type(joint.model).__name__} has no code; fit a vae or ssvae")
    return joint.model


def _codes(model: VAE, codes: Any) -> Tensor:
    given = torch.as_tensor(np.asarray(codes, dtype=np.float32), device=next(model.parameters()).device)
    if given.ndim != 2 or given.shape[1] != model.latent:
        raise UsageError(f"codes have the shape {tuple(given.shape)}, not [rows, {model.latent}]")
    return given


def _rows(model: VAE, codes: Tensor, draws: int, seed: int) -> np.ndarray:
    """Rows `[n, draws, width]` in data units."""
    heads = model.heads
    assert heads is not None
    with running(Randomness(seed, codes.device)), torch.no_grad():
        shifted = heads.shifted(model.decoded(codes)).double()
        wide = shifted[:, None].expand(-1, draws, -1)
        return draw(heads, wide, QueryBatch.empty(model.schema, len(codes)))
