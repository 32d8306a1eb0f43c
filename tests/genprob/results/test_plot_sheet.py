"""Picture sheets show what was known, and refuse answers without pictures."""

import numpy as np
import pytest
import xarray as xr

from genprob.errors import UsageError
from genprob.results.plot_sheet import PICTURES, sheet


def posterior(**more):
    rng = np.random.default_rng(0)
    pixels = (rng.random((1, 40, 4, 6)) < 0.5).astype(np.int64)
    pixels[..., :2, :] = 1
    return xr.Dataset({"image": (("chain", "draw", "y", "x"), pixels)} | more)


def test_a_row_for_each_image(tmp_path):
    figure = sheet(posterior(g=(("chain", "draw"), np.zeros((1, 40)))), None)
    assert len(figure.axes) == 3 + PICTURES
    known, mean, sd = (np.asarray(axes.images[0].get_array().filled(np.nan)) for axes in figure.axes[:3])
    assert (known[:2] == 1).all() and np.isnan(known[2:]).all()
    assert (sd[:2] == 0).all() and (sd[2:] > 0.3).all() and (mean[2:] < 1).all()
    figure.savefig(tmp_path / "a.png")


def test_without_an_image_it_is_refused():
    with pytest.raises(UsageError, match="image"):
        sheet(xr.Dataset({"g": (("chain", "draw"), np.zeros((1, 40)))}), None)
