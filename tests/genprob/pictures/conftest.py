"""Joints of two reals and of small images, barely fitted: pictures show what models say, right or wrong."""

import numpy as np
import pytest
import xarray as xr

import genprob


@pytest.fixture(scope="session")
def plane():
    x = np.random.default_rng(0).normal(size=(200, 2)) @ np.array([[1.0, 0.5], [0.0, 0.8]])
    return {"x": x[:, 0], "y": x[:, 1]}


@pytest.fixture(scope="session")
def images():
    rng = np.random.default_rng(1)
    ink = (rng.random((120, 4, 4)) < rng.random((120, 1, 1))).astype(float)
    return xr.Dataset({"image": (("row", "y", "x"), ink)})


@pytest.fixture(scope="session")
def joints(plane, images):
    """Model -> a joint; `gsn`, `vae` and `gan` of images, the others of the plane."""
    quick = {"seed": 0, "steps": 5, "hidden": (8,)}
    return {
        "dae": genprob.fit(plane, "dae", **quick),
        "plain": genprob.fit(plane, "dae", form="plain", **quick),
        "score": genprob.fit(plane, "score", **quick),
        "gsn": genprob.fit(images, "gsn", **quick),
        "vae": genprob.fit(images, "vae", latent=2, **quick),
        "gan": genprob.fit(images, "gan", latent=2, **quick),
        "mixture": genprob.fit(plane, "mixture", components=1),
    }
