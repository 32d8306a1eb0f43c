"""Draws beside the training rows that they are nearest to: does the joint repeat what it saw?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from genprob.errors import UsageError
from genprob.metrics.neighbours import nearest_rows
from genprob.metrics.scale import deviations, points
from genprob.pictures.tiles import ACCENT, INK, PALE, grid, labelled, shown_image
from genprob.request import whole
from genprob.results.plot import save

if TYPE_CHECKING:
    from genprob.joint import Joint

SHOWN = 10
"""Draws of a sheet."""
_COMPARED = 1000
"""Rows of the data whose own nearest neighbours are looked up."""


def neighbours(joint: Joint, data: Any, *, draws: int = 200, seed: int = 0) -> xr.Dataset:
    """Each draw and the row of the data that is nearest to it (numbers in standard deviations, labels equal or not).

    Variables have dims (stage, draw, ...), stages `draw` and `nearest`, labels as codes; `row [draw]` is the position
    of the nearest row and `distance [draw]` how far it is; `distance_of_rows [row]` is that of rows of the data (at
    most 1,000) to the nearest other row. Draws of a joint that repeats its rows are nearer than rows are to each other.

    Arguments:
        joint: what is drawn from.
        data: the rows it was fitted to.
    """
    table = joint.table(data).values
    if len(table) < 2:
        raise UsageError("the data has fewer than two rows, so no row has a neighbour")
    draws = whole("draws", draws, 1)
    drawn = joint.draw(draws, seed)
    sd = deviations(table)
    seen = points(joint.schema, table, sd)
    row, distance = nearest_rows(points(joint.schema, drawn, sd), seen)
    chosen = np.random.default_rng(seed).permutation(len(seen))[:_COMPARED]
    _, own = nearest_rows(seen[chosen], seen, without=chosen)
    both = labelled(joint.schema, np.stack([drawn, table[row]]), ("stage", "draw"))
    more = {"row": ("draw", row), "distance": ("draw", distance), "distance_of_rows": ("other", own)}
    return xr.Dataset(both | more, coords={"stage": ["draw", "nearest"]})


def plot_neighbours(found: xr.Dataset, out: str | Path) -> Path:
    """Draws `neighbours`: of images the first ten draws above their nearest rows; below, the distances.

    Arguments:
        found: what `neighbours` gives.
        out: the picture; `.png`, `.svg` or `.pdf`.
    """
    from matplotlib.figure import Figure

    image = shown_image(found, ("stage", "draw"))
    figure = Figure(figsize=(8.0, 2.6 if image is None else 4.4), dpi=120, layout="constrained")
    parts = figure.subfigures(1 if image is None else 2, 1, squeeze=False)[:, 0]
    if image is not None:
        images = image.values[:, :SHOWN]
        far = [f"{d:.2g}" for d in found["distance"].values[:SHOWN]]
        grid(parts[0], images, ["draw", "nearest row"], far)
    axes = parts[-1].subplots()
    near, own = (found[name].values for name in ("distance", "distance_of_rows"))
    edges = np.linspace(0, np.nanmax(np.concatenate([near, own])) or 1.0, 40)
    axes.hist(own, edges, density=True, color=PALE, label="rows of the data to the nearest other row")
    axes.hist(near, edges, density=True, color=ACCENT, histtype="step", linewidth=1.4, label="draws to the nearest row")
    axes.set_xlabel("distance, standard deviations", fontsize=8, color=INK)
    axes.set_yticks([])
    axes.tick_params(labelsize=7)
    axes.legend(fontsize=7, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return save(figure, Path(out))
