"""A picture of a comparison: every joint's difference from the best, with its interval."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genprob import atomic
from genprob.errors import UsageError

if TYPE_CHECKING:
    import xarray as xr

_INK, _POINT = "#333333", "#2a6fbb"
_FORMATS = ("png", "svg", "pdf")


def draw_comparison(tree: xr.DataTree, out: str | Path) -> Path:
    """Writes one panel per score that has differences; `UsageError` for an unknown format or nothing to draw."""
    from matplotlib.figure import Figure

    out = Path(out)
    form = out.suffix.lstrip(".").lower()
    if form not in _FORMATS:
        raise UsageError(f"{out}: pictures are written as .{', .'.join(_FORMATS)}")
    scores = [(metric, name, node.to_dataset()) for metric, node in tree.children.items()
              for name in compared(node.to_dataset())]  # fmt: skip
    if not scores:
        raise UsageError("no metric of this comparison is a mean over rows, so there are no differences to draw")
    height = 0.8 + 0.32 * scores[0][2].sizes["joint"]
    figure = Figure(figsize=(7.0, 0.4 + height * len(scores)), dpi=120, layout="constrained")
    for axes, (metric, name, ds) in zip(np.atleast_1d(figure.subplots(len(scores), 1)), scores, strict=True):
        _panel(axes, metric, name, ds)
    level = 100 * float(tree.attrs.get("level", 0.95))
    figure.suptitle(f"difference from the best joint, {level:g} % paired bootstrap", fontsize=10, color=_INK)
    return atomic.write(out, lambda path: figure.savefig(path, format=form))


def compared(ds: xr.Dataset) -> list[str]:
    """The scores of one metric that have differences."""
    return [str(name) for name in ds.data_vars if f"{name}_difference" in ds]


def best(ds: xr.Dataset, name: str) -> int:
    """Position of the joint with the best value of a score."""
    values = np.nan_to_num(ds[name].values, nan=-np.inf if ds[name].attrs["better"] == "higher" else np.inf)
    return int(values.argmax() if ds[name].attrs["better"] == "higher" else values.argmin())


def _panel(axes: Any, metric: str, name: str, ds: xr.Dataset) -> None:
    first = best(ds, name)
    joints = ds["joint"].values.tolist()
    middle, low, high = (ds[f"{name}_{part}"].values[:, first] for part in ("difference", "low", "high"))
    place = np.arange(len(joints))[::-1]
    axes.axvline(0.0, color=_INK, linewidth=0.8, linestyle=":")
    axes.hlines(place, low, high, color=_POINT, linewidth=2)
    axes.plot(middle, place, "o", color=_POINT, markersize=5)
    axes.set_yticks(place, [f"{joint} (best)" if k == first else joint for k, joint in enumerate(joints)], fontsize=8)
    axes.set_ylim(-0.6, len(joints) - 0.4)
    about = ds[name].attrs
    axes.set_title(f"{metric}: {name} [{about['units']}], {about['better']} is better", fontsize=9, loc="left")
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
