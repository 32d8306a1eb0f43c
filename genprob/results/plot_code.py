"""Pictures of a code: the way between two rows, a plane of what codes decode to, sums of codes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from genprob.errors import UsageError
from genprob.results.plot import save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK = "#333333"


def plot_strips(strips: Mapping[str, xr.Dataset], out: str | Path, variable: str | None = None) -> Path:
    """Draws the ways between two rows, one line of pictures each, with the log-density along each below.

    Arguments:
        strips: title -> what `genprob.questions.codes.interpolate` gives: an image along dim `step`, and `log_prob`.
        out: the picture; `.png`, `.svg` or `.pdf`.
        variable: the image; None takes the first.

    Raises `UsageError` where there is no image.
    """
    from matplotlib.figure import Figure

    if not strips:
        raise UsageError("no strip is given, so there is nothing to plot")
    images = {title: image_of(strip, ("step",), variable) for title, strip in strips.items()}
    steps = max(image.sizes["step"] for image in images.values())
    figure = Figure(figsize=(1.0 * steps + 0.6, 2.2 * len(strips)), dpi=120, layout="constrained")
    parts = figure.subfigures(len(strips), 1, squeeze=False)[:, 0]
    for part, (title, image) in zip(parts, images.items(), strict=True):
        panels = part.subplot_mosaic([[*range(image.sizes["step"])], ["line"] * image.sizes["step"]])
        for step in range(image.sizes["step"]):
            picture(panels[step], image.values[step], image.values)
        panels[0].set_title(title, fontsize=9, loc="left", color=_INK)
        line = panels["line"]
        line.plot(strips[title]["log_prob"].values, color="#2a6fbb", marker=".")
        line.set_ylabel("log-density", fontsize=8)
        line.set_xlabel("step", fontsize=8)
        line.tick_params(labelsize=7)
        line.spines[["top", "right"]].set_visible(False)
    return save(figure, Path(out))


def plot_plane(plane: xr.Dataset, out: str | Path, variable: str | None = None) -> Path:
    """Draws what a plane of the code decodes to, tile by tile, beside the log-density of the codes.

    Arguments:
        plane: what `genprob.questions.codes.plane` gives: an image along dims `v` and `u`, and `log_prob`.
        out: the picture; `.png`, `.svg` or `.pdf`.
        variable: the image; None takes the first.

    Raises `UsageError` where there is no image.
    """
    from matplotlib.figure import Figure

    image = image_of(plane, ("v", "u"), variable)
    v, u, height, width = image.shape
    tiles = image.values[::-1].transpose(0, 2, 1, 3).reshape(v * height, u * width)  # the second coordinate upwards
    figure = Figure(figsize=(9.0, 4.6), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1.2, 1])
    picture(left, tiles, tiles)
    left.set_title(f"{image.name}: mean at each code", fontsize=9, loc="left", color=_INK)
    ends = [float(plane[name].values[i]) for name in ("u", "v") for i in (0, -1)]
    shown = right.imshow(plane["log_prob"].values, origin="lower", extent=(ends[0], ends[1], ends[2], ends[3]))
    right.set_title("log-density of the code", fontsize=9, loc="left", color=_INK)
    right.tick_params(labelsize=7)
    figure.colorbar(shown, ax=right, shrink=0.8).ax.tick_params(labelsize=7)
    return save(figure, Path(out))


def plot_arithmetic(found: xr.Dataset, out: str | Path, variable: str | None = None) -> Path:
    """Draws the rows of a sum of codes and what the sum decodes to, with the log-density of each code.

    Arguments:
        found: what `genprob.questions.codes.arithmetic` gives: an image along dim `step`, `log_prob` and `term`.
        out: the picture; `.png`, `.svg` or `.pdf`.
        variable: the image; None takes the first.

    Raises `UsageError` where there is no image.
    """
    from matplotlib.figure import Figure

    image = image_of(found, ("step",), variable)
    figure = Figure(figsize=(2.1 * image.sizes["step"], 2.6), dpi=120, layout="constrained")
    panels = figure.subplots(1, image.sizes["step"])
    for panel, values, term, score in zip(
        panels, image.values, found["term"].values, found["log_prob"].values, strict=True
    ):
        picture(panel, values, image.values)
        panel.set_title(str(term), fontsize=9, loc="left", color=_INK)
        panel.set_xlabel(f"log-density {score:.4g}", fontsize=8)
    return save(figure, Path(out))


def image_of(data: xr.Dataset, dims: tuple[str, ...], variable: str | None) -> xr.DataArray:
    """The variable with two more dims than `dims`: the one that is named, or the first."""
    found = [str(n) for n, v in data.data_vars.items() if v.dims[: len(dims)] == dims and v.ndim == len(dims) + 2]
    if not found or (variable is not None and variable not in found):
        what = "no variable is an image" if variable is None else f"variable {variable!r} is no image"
        raise UsageError(f"{what} (two dims beside {', '.join(dims)}): images are {', '.join(found) or 'none'}")
    return data[variable or found[0]]


def picture(axes: Axes, values: np.ndarray, scale: np.ndarray) -> None:
    """One picture in grey, its darkest and lightest those of `scale`."""
    low, high = float(np.nanmin(scale)), float(np.nanmax(scale))
    axes.imshow(values, cmap="gray", interpolation="nearest", vmin=low, vmax=max(high, low + 1e-12))
    axes.set_xticks([])
    axes.set_yticks([])
