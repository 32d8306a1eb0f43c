"""Picture sheets: draws of image targets beside what was known, their mean and how uncertain they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from genprob.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURES = 9
"""Draws that are shown of each target."""


def sheet(posterior: xr.Dataset, _: xr.Dataset | None) -> Figure:
    """One row for each image target: what was known, the mean, the standard deviation, then draws.

    A pixel counts as known where all draws agree. Raises `UsageError` where no target is an image.
    """
    from matplotlib.figure import Figure

    images = {str(name): v for name, v in posterior.data_vars.items() if v.ndim == 4 and v.dtype.kind in "iufb"}
    if not images:
        raise UsageError("plot kind 'sheet' needs a target with two dims, an image; ask the query for one")
    columns = 3 + min(PICTURES, min(v.sizes["chain"] * v.sizes["draw"] for v in images.values()))
    figure = Figure(figsize=(1.1 * columns, 1.35 * len(images) + 0.7), dpi=120, layout="constrained")
    for axes, (name, draws) in zip(figure.subplots(len(images), columns, squeeze=False), images.items(), strict=True):
        values = np.asarray(draws.values, dtype=np.float64).reshape(-1, *draws.shape[2:])
        shown = np.linspace(0, len(values) - 1, columns - 3).astype(int)
        sd = values.std(0)
        pictures = {"known": np.where(sd == 0, values[0], np.nan), "mean": values.mean(0), "sd": sd}
        pictures |= {f"draw {i}": values[i] for i in shown}
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        for panel, (title, picture) in zip(axes, pictures.items(), strict=True):
            uncertain = title == "sd"
            limits = {"vmin": 0.0} if uncertain else {"vmin": low, "vmax": max(high, low + 1e-12)}
            panel.set_facecolor("#cfe0f3")  # what was not known
            panel.imshow(picture, cmap="viridis" if uncertain else "gray", interpolation="nearest", **limits)
            panel.set_title(title, fontsize=8)
            panel.set_xticks([])
            panel.set_yticks([])
        axes[0].set_ylabel(name, fontsize=8)
    return figure
