"""Pictures of a run's code from the command line: what is drawn is what Python gives, and mistakes are said."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.image import imread

import genprob
from genprob.results import plot_code
from genprob_cli import app


def pictures(rows=120, seed=0):
    """4 x 4 pictures, bright above or below, some pixels flipped."""
    rng = np.random.default_rng(seed)
    above = (rng.random(rows) < 0.5)[:, None, None]
    place = np.arange(4)[None, :, None] < 2
    image = (np.broadcast_to(place == above, (rows, 4, 4))) ^ (rng.random((rows, 4, 4)) < 0.05)
    return xr.Dataset({"image": (("row", "y", "x"), image.astype(np.int64))})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plot")
    inference = {"name": "elbo", "lr": 1e-2, "batch_size": 60, "holdout": 0.0}
    genprob.fit(pictures(), "vae", out=folder / "run", steps=60, inference=inference, latent=2, hidden=(16,))
    pictures(12, seed=7).to_netcdf(folder / "rows.nc", engine="h5netcdf")
    genprob.fit({"x": [0.5, 1.25, 3.5, 2.25]}, "mixture", out=folder / "mixture", components=1)
    genprob.fit({"x": [0.5, 1.25, 3.5, 2.25]}, "vae", out=folder / "scalars", steps=2)
    return folder


def drawn(folder, kind, *more):
    out = folder / f"{kind}.png"
    assert app.run(["plot", str(folder / "run"), "--kind", kind, "--out", str(out), *map(str, more)]) == 0
    return imread(out)


def test_every_kind_is_drawn(folder):
    for kind in ("strip", "plane", "arithmetic"):
        assert drawn(folder, kind).std() > 0.05


def test_a_strip_is_between_the_rows_that_are_named(folder, monkeypatch):
    seen = {}
    monkeypatch.setattr(plot_code, "plot_strips", lambda strips, out, variable: seen.update(strips) or out)
    run, rows = str(folder / "run"), folder / "rows.nc"
    asked = ["plot", run, "--kind", "strip", "--data", str(rows), "--row", "9", "--row", "4", "--steps", "3"]
    assert app.run(asked) == 0
    ends = pictures(12, seed=7)["image"].values[[9, 4]]
    assert list(seen) == ["straight in the code", "straight in the data"]
    mixed = seen["straight in the data"]["image"].values
    assert np.array_equal(mixed, [ends[0], ends.mean(0), ends[1]])
    assert seen["straight in the code"].sizes["step"] == 3


def test_a_plane_takes_its_coordinates_and_reach(folder, monkeypatch):
    seen = []
    monkeypatch.setattr(plot_code, "plot_plane", lambda plane, out, variable: seen.append(plane) or out)
    asked = ["plot", str(folder / "run"), "--kind", "plane", "--coordinates", "1,0", "--reach", "1.5", "--steps", "3"]
    assert app.run(asked) == 0
    assert seen[0]["u"].values.tolist() == [-1.5, 0.0, 1.5]
    density = seen[0]["log_prob"].values
    assert np.allclose(density[1, 1] - density[0, 2], 1.5**2)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["mixture", "--kind", "strip"], "Mixture has no code"),
        (["mixture", "--kind", "plane"], "Mixture has no code"),
        (["scalars", "--kind", "strip"], "no variable is an image"),
        (["run", "--kind", "sheet"], "history, strip, arithmetic, plane, neighbours"),
        (["run", "--kind", "strip", "--row", "1"], "give --row 2 times, not 1"),
        (["run", "--kind", "strip", "--row", "1", "--row", "5000"], "rows 0 to 119"),
        (["run", "--kind", "arithmetic", "--row", "1"], "give --row 3 times"),
        (["run", "--kind", "plane", "--coordinates", "0"], "such as 0,1"),
        (["run", "--kind", "plane", "--coordinates", "0,9"], "coordinates of 0 to 1"),
        (["run", "--kind", "plane", "--row", "3"], "--row is an option of --kind strip and arithmetic"),
        (["run", "--reach", "3"], "--reach is an option of --kind plane"),
        (["rows.nc", "--kind", "strip"], "drawn of a run"),
        (["run", "--kind", "strip", "--variable", "picture"], "images are image"),
    ],
)
def test_mistakes_are_one_line(folder, asked, said, capsys):
    asked = ["plot", str(folder / asked[0]), "--out", str(folder / "none.png"), *asked[1:]]
    assert app.run(asked) == 2
    error = capsys.readouterr().err
    assert said in " ".join(error.split()) and "Traceback" not in error
    assert not (folder / "none.png").exists()
