"""Pictures of a code: every tile where it belongs, mistakes said."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.image import imread

from genprob.errors import UsageError
from genprob.results.plot_code import plot_plane, plot_strips


def strip(steps=5):
    image = np.linspace(0, 1, steps)[:, None, None] * np.ones((steps, 6, 6))
    return xr.Dataset({"image": (("step", "y", "x"), image), "log_prob": ("step", -(np.arange(steps) ** 2.0))})


def plane(steps=3):
    image = np.zeros((steps, steps, 4, 4))
    image[-1, 0] = 1.0  # the second coordinate at its most, the first at its least
    score = -np.square(np.linspace(-2, 2, steps))
    ends = np.linspace(-2, 2, steps)
    return xr.Dataset(
        {"image": (("v", "u", "y", "x"), image), "log_prob": (("v", "u"), score[:, None] + score)},
        coords={"u": ends, "v": ends},
    )


def test_a_strip_goes_from_dark_to_light(tmp_path):
    out = plot_strips({"code": strip(), "data": strip()}, tmp_path / "a.png")
    pixels = imread(out)[..., :3].mean(-1)
    first = pixels[int(pixels.shape[0] * 0.06) : int(pixels.shape[0] * 0.25)]  # of the line of pictures alone
    light = [float(part.mean()) for part in np.array_split(first, 5, axis=1)][1:]  # labels are beside the first
    assert light == sorted(light) and light[-1] - light[0] > 0.3


def test_the_second_coordinate_goes_up(tmp_path):
    pixels = imread(plot_plane(plane(), tmp_path / "a.png"))[..., :3]
    left = pixels[:, : pixels.shape[1] // 2].mean(-1)
    dark = np.argwhere(left < 0.02)
    (top, first), (bottom, last) = dark.min(0), dark.max(0)
    third = (bottom - top) // 3, (last - first) // 3
    assert left[top + third[0] // 2, first + third[1] // 2] > 0.9
    assert left[bottom - third[0] // 2, first + third[1] // 2] < 0.1


def test_what_cannot_be_drawn(tmp_path):
    flat = xr.Dataset({"x": ("step", np.zeros(3)), "log_prob": ("step", np.zeros(3))})
    with pytest.raises(UsageError, match="two dims beside step"):
        plot_strips({"code": flat}, tmp_path / "a.png")
    with pytest.raises(UsageError, match="images are image"):
        plot_plane(plane(), tmp_path / "a.png", variable="other")
    with pytest.raises(UsageError, match="nothing to plot"):
        plot_strips({}, tmp_path / "a.png")
