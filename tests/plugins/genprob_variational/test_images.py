"""Images end to end: fitted, scored, inpainted from Python and the command line, drawn; mistakes in evidence."""

import json

import numpy as np
import pytest
import xarray as xr

import genprob
from genprob.errors import DataError, UsageError
from genprob.questions.codes import decode, encode, interpolate, plane
from genprob.results.plot_code import plot_plane, plot_strips
from genprob_cli import app


def pictures(rows=160, seed=0):
    """6 x 6 pictures of a bar at one of three heights, with a label that says which."""
    rng = np.random.default_rng(seed)
    where = rng.integers(0, 3, rows)
    image = rng.random((rows, 6, 6)) < 0.03
    for i, k in enumerate(where):
        image[i, 2 * k : 2 * k + 2] |= rng.random((2, 6)) < 0.95
    return xr.Dataset(
        {
            "image": (("row", "y", "x"), image.astype(np.int64)),
            "label": ("row", np.array(["top", "middle", "bottom"], dtype=object)[where]),
        }
    )


@pytest.fixture(scope="module", params=["mlp", "conv"])
def joint(request, tmp_path_factory):
    inference = {"name": "elbo", "lr": 1e-2, "batch_size": 80, "holdout": 0.0, "amortise": 1.0}
    out = tmp_path_factory.mktemp(request.param) / "run"
    options = {"latent": 3, "hidden": (32,), "network": request.param, "channels": 4}
    return genprob.fit(pictures(), "vae", out=out, steps=200, inference=inference, **options)


def half(picture):
    mask = np.zeros((6, 6), dtype=bool)
    mask[:, :3] = True
    return genprob.Masked(picture, mask), mask


def test_it_beats_independent_pixels(joint):
    test = pictures(60, seed=1)
    share = pictures()["image"].values.mean(0).clip(0.01, 0.99)
    pixels = test["image"].values
    alone = (pixels * np.log(share) + (1 - pixels) * np.log1p(-share)).sum((1, 2)).mean() + np.log(1 / 3)
    assert float(joint.log_prob(test)["log_prob"].mean()) > alone + 3


def test_the_right_half_follows_from_the_left(joint):
    test = pictures(1, seed=5).isel(row=0)
    evidence, mask = half(test["image"].values)
    answer = joint.query(["image", "label"], {"image": evidence}, draws=200)
    drawn = answer["posterior"]["image"].values.reshape(-1, 6, 6)
    assert (drawn[:, mask] == test["image"].values[mask]).all()
    assert np.abs(drawn.mean(0) - test["image"].values)[~mask].mean() < 0.2
    labels = answer["posterior"]["label"].values.reshape(-1)
    assert (labels == str(test["label"].values)).mean() > 0.8


def test_from_the_command_line_to_a_sheet(joint, tmp_path):
    test = pictures(1, seed=5).isel(row=0)
    _, mask = half(test["image"].values)
    given = tmp_path / "given.json"
    given.write_text(json.dumps({"image": {"array": test["image"].values.tolist(), "mask": mask.tolist()}}))
    out, run = tmp_path / "a.nc", str(joint.run.path)
    asked = ["query", run, "--target", "image", "--given-json", str(given), "--draws", "50", "--out", str(out)]
    assert app.run(asked) == 0
    assert genprob.open(out)["posterior"]["image"].shape[-2:] == (6, 6)
    assert app.run(["plot", str(out), "--kind", "sheet"]) == 0
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_there_and_back_through_the_code(joint):
    test = pictures(20, seed=2)
    codes = encode(joint, test)
    assert codes["code"].shape == (20, 3) and (codes["code_sd"].values > 0).all()
    back = decode(joint, codes["code"].values, draws=50)
    assert back["image"].dims == ("row", "draw", "y", "x")
    wrong = np.abs(back["image"].values.mean(1) - test["image"].values).mean()
    assert wrong < 0.6 * np.abs(pictures()["image"].values.mean(0) - test["image"].values).mean()


def test_a_strip_begins_and_ends_at_its_rows(joint):
    ends = pictures(40, seed=3)
    ends = ends.isel(row=[int(np.flatnonzero(ends["label"].values == k)[0]) for k in ("top", "bottom")])
    for space in ("code", "data"):
        strip = interpolate(joint, ends, steps=5, space=space)
        assert strip["image"].shape == (5, 6, 6) and np.isfinite(strip["log_prob"].values).all()
        for step, row in ((0, 0), (-1, 1)):
            assert np.abs(strip["image"].values[step] - ends["image"].values[row]).mean() < 0.25


def test_a_plane_holds_what_its_codes_decode_to(joint, tmp_path):
    found = plane(joint, coordinates=(2, 0), reach=1.5, steps=3, seed=1)
    assert found["image"].dims == ("v", "u", "y", "x") and found["image"].shape == (3, 3, 6, 6)
    corner = decode(joint, [[1.5, 0.0, -1.5]], draws=400)["image"].values.mean((0, 1))  # u is the last, v the first
    assert np.abs(found.sel(u=-1.5, v=1.5)["image"].values - corner).mean() < 0.1
    density = found["log_prob"].values  # standard normal
    assert np.allclose(density[1, 1] - density[0, 1], 1.5**2 / 2) and np.allclose(density[1, 1] - density[0, 0], 1.5**2)
    assert plot_plane(found, tmp_path / "plane.png").stat().st_size > 1000
    strips = {space: interpolate(joint, pictures(2), steps=4, space=space) for space in ("code", "data")}
    assert plot_strips(strips, tmp_path / "strips.png").stat().st_size > 1000
    for wrong in ((0, 0), (0, 3)):
        with pytest.raises(UsageError, match="0 to 2"):
            plane(joint, coordinates=wrong)


def test_mistakes_are_said(joint):
    with pytest.raises(UsageError, match=r"shape \(5, 6\)"):
        joint.query(["label"], {"image": genprob.Masked(np.zeros((5, 6)), np.ones((5, 6), dtype=bool))})
    with pytest.raises(UsageError, match=r"not \[rows, 3\]"):
        decode(joint, np.zeros((2, 5)))
    with pytest.raises(UsageError, match="two rows"):
        interpolate(joint, pictures(3))


def test_grey_pixels_are_no_binaries():
    grey = pictures(20)
    grey["image"] = grey["image"] * 0.5 + 0.1
    with pytest.raises((DataError, UsageError), match="image"):
        genprob.fit(grey, "vae", schema={"image": "binary"}, steps=1)


def test_convolutions_need_an_image():
    with pytest.raises(UsageError, match="use mlp"):
        genprob.fit({"a": [0.5, 1.25, 3.5, 2.25]}, "vae", network="conv", steps=1)
