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

    Ranks are drawn as the share of them below each point less what uniform ranks would have there, with the band that
    uniform ranks stay in as a whole (Säilynoja, Bürkner and Vehtari 2022).

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
        n, colour = int(one["queries"]), _COLOUR[str(one["verdict"].item())]
        share = np.linspace(0, 1, one.sizes["bin"] + 1)
        low, high, found = (_excess(values) for values in (one["band_low"], one["band_high"], one["shape"].cumsum()))
        axes.fill_between(share, low, high, color="#555555", alpha=0.15, lw=0)
        axes.plot(share, found, color=colour, lw=1.4)
        given = f"{100 * float(one['share']):.0f} % given"
        source = "" if str(one["source"].item()) == "planted" else ", held out"
        title = f"{one['strategy'].item()}, {one['kind'].item()}, {given}{source}\n{one['verdict'].item()}, n = {n}"
        axes.set_title(title, fontsize=8, loc="left")
    return save(figure, Path(out))


def _excess(cumulated: xr.DataArray) -> np.ndarray:
    """Shares below the ends of equal bins, from 0 on, less those of uniform ranks."""
    return np.concatenate([[0.0], cumulated.values - np.arange(1, len(cumulated) + 1) / len(cumulated)])
