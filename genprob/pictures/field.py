"""The field of a denoiser: where it moves each point of the plane of two real variables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import xarray as xr

from genprob.engine.scope import running
from genprob.errors import UsageError
from genprob.pictures.capabilities import Denoises
from genprob.pictures.tiles import ACCENT, INK
from genprob.request import whole
from genprob.results.plot import save

if TYPE_CHECKING:
    from genprob.joint import Joint

_NOISE = 0.2
"""Where a model knows many noises, the nearest to this one is drawn."""
_WIDER = 0.25
"""Share of the data's width that is shown on either side of it."""


def field(joint: Joint, *, noise: float | None = None, steps: int = 25, draws: int = 600, seed: int = 0) -> xr.Dataset:
    """The score of a joint of two real variables seen with noise, on a grid around its data, and the step it asks for.

    `score [second, first, axis]` is in the coordinates in which the noise is added, `denoised [second, first, axis]`
    the point x + noise^2 score(x) (Tweedie's mean of the clean point) in data units; `data [row, axis]` are rows that
    the joint keeps and `drawn [draw, axis]` its draws. The coordinates `first`, `second` are the grid, in data units.

    Arguments:
        joint: of a model that knows its score (`dae`, `score`).
        noise: standard deviation of the noise, in those of the data; None is the model's, or the nearest to 0.2.
        steps: points of the grid along each variable.
        draws: draws that are kept beside it.

    Raises `UsageError` for a model without a score, other than two real variables, and a noise it does not know.
    """
    model, schema = joint.model, joint.schema
    if not isinstance(model, Denoises):
        raise UsageError(f"{type(model).__name__} has no field: it knows no score of its law; dae and score do")
    if schema.width != 2:
        raise UsageError(f"a field is drawn of two real variables; there are {schema.width}: {', '.join(schema.names)}")
    steps, (least, most) = whole("steps", steps, 2), model.noises
    noise = min(max(_NOISE, least), most) if noise is None else noise
    if not least <= noise <= most:
        raise UsageError(f"noise={noise}: the model knows noises of {least:g} to {most:g}")
    device = joint.reference.values.device
    rows = joint.reference.values[joint.reference.observed.all(1)].double()
    seen = model.encoder.encode(model.encoder.inside(rows))
    low, high = seen.amin(0), seen.amax(0)
    low, high = low - _WIDER * (high - low), high + _WIDER * (high - low)
    ends = zip(low.tolist(), high.tolist(), strict=True)
    axes = [torch.linspace(a, b, steps, dtype=torch.float64, device=device) for a, b in ends]
    second, first = torch.meshgrid(axes[1], axes[0], indexing="ij")
    points = torch.stack([first, second], -1)
    flat = points.reshape(-1, 2).to(torch.get_default_dtype())
    with running(joint.rng(seed)), torch.no_grad():
        score = (
            model.score(flat, torch.full((len(flat),), noise, device=device)).detach().double().reshape(points.shape)
        )
    denoised = model.encoder.decode((points + noise**2 * score).reshape(-1, 2)).reshape(points.shape)
    ticks = model.encoder.decode(torch.stack(axes, 1)).cpu().numpy()
    names = list(schema.names)
    return xr.Dataset(
        {
            "score": (("second", "first", "axis"), score.cpu().numpy()),
            "denoised": (("second", "first", "axis"), denoised.cpu().numpy()),
            "data": (("row", "axis"), rows.cpu().numpy()),
            "drawn": (("draw", "axis"), joint.draw(whole("draws", draws, 1), seed)),
        },
        coords={"first": ticks[:, 0], "second": ticks[:, 1], "axis": names},
        attrs={"noise": float(noise)},
    )


def plot_fields(fields: Mapping[str, xr.Dataset], out: str | Path) -> Path:
    """Draws fields, a line each: the data, the draws, and arrows from points of the grid to where they are denoised.

    Arguments:
        fields: title -> what `field` gives.
        out: the picture; `.png`, `.svg` or `.pdf`.
    """
    from matplotlib.figure import Figure

    if not fields:
        raise UsageError("no field is given, so there is nothing to plot")
    figure = Figure(figsize=(9.6, 3.2 * len(fields)), dpi=120, layout="constrained")
    panels = figure.subplots(len(fields), 3, squeeze=False)
    for line, (title, found) in zip(panels, fields.items(), strict=True):
        names = [str(name) for name in found["axis"].values]
        for axes, points, what in ((line[0], found["data"], "data"), (line[1], found["drawn"], "draws")):
            axes.scatter(*points.values.T, s=3, color=ACCENT, alpha=0.6, linewidths=0)
            axes.set_title(f"{title}: {what}", fontsize=9, loc="left", color=INK)
        u, v = np.meshgrid(found["first"].values, found["second"].values)
        step = found["denoised"].values - np.stack([u, v], -1)
        length = np.hypot(step[..., 0], step[..., 1])
        line[2].quiver(u, v, step[..., 0], step[..., 1], length, angles="xy", scale_units="xy", scale=1.0, width=0.004)
        line[2].set_title(f"denoised, noise {found.attrs['noise']:.2g}", fontsize=9, loc="left", color=INK)
        wide = [(float(a.min()), float(a.max())) for a in (u, v)]
        for axes in line:
            axes.set_xlim(*wide[0])
            axes.set_ylim(*wide[1])
            axes.set_xlabel(names[0], fontsize=8)
            axes.tick_params(labelsize=7)
            axes.spines[["top", "right"]].set_visible(False)
        line[0].set_ylabel(names[1], fontsize=8)
    return save(figure, Path(out))
