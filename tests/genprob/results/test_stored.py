"""Values that stay in the file until they are asked for."""

import numpy as np
import pytest
import xarray as xr

from genprob.errors import CorruptFileError
from genprob.results import file


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return xr.Dataset(
        {
            "x": (("a", "b", "c"), rng.normal(size=(6, 4, 3))),
            "g": (
                ("a", "b"),
                np.array(["p", "q", None], dtype=object)[rng.integers(0, 3, (6, 4))],
                {"levels": ["p", "q"]},
            ),
            "t": (("a", "b"), rng.integers(0, 10**6, (6, 4)).astype(str)),
            "d": (("a", "b"), rng.integers(0, 10**9, (6, 4)).astype("M8[us]")),
        }
    )


@pytest.mark.parametrize(
    "index",
    [
        {"a": 2},
        {"a": slice(1, 5, 2)},
        {"a": [4, 0, 4], "b": 1},
        {"a": [3, 1], "b": [2, 0]},
        {"a": slice(None, None, -1)},
        {"a": xr.DataArray([0, 5], dims="p"), "b": xr.DataArray([1, 2], dims="p")},
        {"a": slice(0, 0)},
    ],
)
def test_every_way_of_indexing(data, tmp_path, index):
    lazy = file.open(file.write(data, tmp_path / "a.nc"), lazy=True)
    for name in data.data_vars:
        assert not lazy[name].variable._in_memory
        xr.testing.assert_equal(lazy[name].isel(index), data[name].isel(index))


def test_a_file_that_changes_under_ones_feet(data, tmp_path):
    path = file.write(data, tmp_path / "a.nc")
    lazy = file.open(path, lazy=True)
    file.write(data.isel(a=slice(0, 3)), path)
    with pytest.raises(CorruptFileError, match="was changed while it was in use"):
        lazy["x"].values.sum()
    path.unlink()
    with pytest.raises(CorruptFileError, match="was removed"):
        lazy["g"].values.sum()


def test_large_files_are_lazy_by_themselves(data, tmp_path, monkeypatch):
    path = file.write(data, tmp_path / "a.nc")
    assert file.open(path)["x"].variable._in_memory
    monkeypatch.setattr(file, "EAGER", 100)
    lazy = file.open(path)
    assert not lazy["x"].variable._in_memory
    xr.testing.assert_identical(lazy.load(), data)
