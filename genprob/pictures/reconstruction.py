"""Rows, what the model was shown of them, and what it makes of that."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr

from genprob.data.batch import as_batch
from genprob.engine.scope import running
from genprob.errors import UsageError
from genprob.pictures.capabilities import Restores
from genprob.pictures.tiles import ACCENT, PALE, grid, labelled, shown_image
from genprob.request import whole
from genprob.results.plot import new_panels, save

if TYPE_CHECKING:
    from genprob.joint import Joint

STAGES = ("row", "shown", "restored")
SHOWN = 10
"""Rows of a sheet."""


def reconstruction(joint: Joint, data: Any, *, rows: int = 200, seed: int = 0) -> xr.Dataset:
    """Rows as the model makes them again from what it sees of them: every variable, dims (stage, row, ...).

    The stages are the `row`, what the model is `shown` of it (the row with noise, cells hidden, or the row itself
    where it goes through a code), and the mean of what it makes of that, `restored`. A binary's mean is its
    probability; labels are codes, the likeliest one where restored; what is unknown or hidden is NaN.

    Arguments:
        joint: of a model that makes rows again (`dae`, `gsn`, `score`, `vae`, `gan`, ...).
        data: rows, better ones that it has not seen.
        rows: at most so many of them, the first.

    Raises `UsageError` for a model that has no way back to a row.
    """
    model = joint.model
    if not isinstance(model, Restores):
        raise UsageError(
            f"{type(model).__name__} makes no row again: it has neither denoiser nor code; dae, gsn, score, vae, gan do"
        )
    table = joint.table(data)
    if not len(table):
        raise UsageError("the data has no row, so there is nothing to make again")
    batch = as_batch(table, device=joint.reference.values.device, dtype=model.precision)
    batch = batch.take(torch.arange(min(len(batch), whole("rows", rows, 1)), device=batch.values.device))
    with running(joint.rng(seed)), torch.no_grad():
        shown, restored = model.restored(batch)
    values = np.stack([table.values[: len(shown)], shown, restored])
    return xr.Dataset(labelled(joint.schema, values, ("stage", "row")), coords={"stage": list(STAGES)})


def plot_reconstruction(found: xr.Dataset, out: str | Path) -> Path:
    """Draws `reconstruction`: of images three lines of pictures, else each variable's restored values over its rows'.

    Arguments:
        found: what `reconstruction` gives.
        out: the picture; `.png`, `.svg` or `.pdf`.
    """
    from matplotlib.figure import Figure

    image = shown_image(found, ("stage", "row"))
    if image is not None:
        images = image.values[:, :SHOWN]
        figure = Figure(figsize=(0.7 * images.shape[1] + 0.6, 2.5), dpi=120, layout="constrained")
        grid(figure, images, STAGES, [str(i) for i in range(images.shape[1])])
        return save(figure, Path(out))
    scalars = {str(n): v.values for n, v in found.data_vars.items() if v.ndim == 2}
    if not scalars:
        raise UsageError("no variable is a number, a label or an image, so nothing of the rows can be drawn")
    figure, panels = new_panels(len(scalars))
    for axes, (name, (row, shown, restored)) in zip(panels, scalars.items(), strict=True):
        axes.scatter(row, shown, s=5, color=PALE, linewidths=0, label="shown")
        axes.scatter(row, restored, s=5, color=ACCENT, linewidths=0, label="restored")
        axes.set_title(name, fontsize=10, loc="left")
        axes.set_xlabel("row", fontsize=8)
    panels[0].legend(fontsize=7, frameon=False)
    return save(figure, Path(out))
