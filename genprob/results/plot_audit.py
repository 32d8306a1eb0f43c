"""The picture of an audit: claimed against found, and the ranks of planted truths."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genprob.errors import UsageError
from genprob.results.plot import new_panels, save

if TYPE_CHECKING:
    import xarray as xr

_COLOUR = {"ok": "#2a6fbb", "fail": "#c0392b", "unknown": "#9a9a9a"}


def plot_audit(cells: xr.Dataset, out: str | Path) -> Path:
    """Draws the cells of `Joint.audit`: one panel of coverage over all, then the ranks of each cell.

    Raises `UsageError` for a data set that is no audit, and for unknown formats.
    """
    if "verdict" not in cells or "cell" not in cells.dims:
        raise UsageError("only an audit can be drawn like this: the data set has no cells")
    judged = cells.isel(cell=(cells["verdict"] != "unknown").values)
    cells = judged if judged.sizes["cell"] else cells  # a handful of truths makes no picture
    count = cells.sizes["cell"]
    figure, places = new_panels(count + 1)
    levels = cells["level"].values
    first = places[0]
    first.plot([0.4, 1], [0.4, 1], color="#555555", lw=0.8)
    for i in range(count):
        one = cells.isel(cell=i)
        colour = _COLOUR[str(one["verdict"].item())]
        error = 2 * np.nan_to_num(one["coverage_se"].values)
        shift = (i / max(1, count - 1) - 0.5) * 0.02
        first.errorbar(levels + shift, one["coverage"].values, error, fmt="o", ms=3, lw=0.8, color=colour)
    first.set_title("interval: claimed and found", fontsize=9, loc="left")
    for i, axes in enumerate(places[1:]):
        one = cells.isel(cell=i)
        shape, n = one["shape"].values, int(one["queries"])
        colour = _COLOUR[str(one["verdict"].item())]
        edges = np.linspace(0, 1, len(shape) + 1)
        axes.bar(edges[:-1], shape, width=1 / len(shape), align="edge", color=colour, alpha=0.6)
        spread = 2 * np.sqrt((1 / len(shape)) * (1 - 1 / len(shape)) / max(n, 1))
        axes.axhspan(1 / len(shape) - spread, 1 / len(shape) + spread, color="#555555", alpha=0.15, lw=0)
        given = f"{100 * float(one['share']):.0f} % given"
        source = "" if str(one["source"].item()) == "planted" else ", held out"
        title = f"{one['strategy'].item()}, {one['kind'].item()}, {given}{source}\n{one['verdict'].item()}, n = {n}"
        axes.set_title(title, fontsize=8, loc="left")
        axes.set_yticks([])
        axes.set_ylim(bottom=0)
    return save(figure, Path(out))
