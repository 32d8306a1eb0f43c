"""Rows of a table by stage, as labelled arrays, and images of them in a grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from genprob.data.schema import Schema
from genprob.errors import UsageError
from genprob.results.plot_code import image_of, picture

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase

INK, ACCENT, PALE = "#333333", "#2a6fbb", "#b9b9b9"


def labelled(
    schema: Schema, values: np.ndarray, dims: tuple[str, str]
) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """Each variable of `values [a, b, width]` with dims `(*dims, ...)`; numbers as they are, labels as codes."""
    return {
        v.name: ((*dims, *v.dims), values[..., schema.slices[v.name]].reshape(*values.shape[:2], *v.shape))
        for v in schema
    }


def shown_image(data: xr.Dataset, dims: tuple[str, ...]) -> xr.DataArray | None:
    """The first image variable, None where there is none."""
    try:
        return image_of(data, dims, None)
    except UsageError:
        return None


def grid(figure: FigureBase, images: np.ndarray, rows: Sequence[str], columns: Sequence[str]) -> None:
    """Pictures `[row, column, y, x]` in grey, all on one scale; what is NaN is blue."""
    panels = figure.subplots(len(images), images.shape[1], squeeze=False)
    for line, pictures, label in zip(panels, images, rows, strict=True):
        for panel, image in zip(line, pictures, strict=True):
            panel.set_facecolor("#cfe0f3")
            picture(panel, image, images)
        line[0].set_ylabel(label, fontsize=8, color=INK)
    for panel, title in zip(panels[0], columns, strict=True):
        panel.set_title(title, fontsize=7, color=INK)
