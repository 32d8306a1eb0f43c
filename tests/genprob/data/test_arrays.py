import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from genprob.data.arrays import decoded, from_mapping, read_netcdf, read_npz
from genprob.errors import DataError


def test_netcdf(tmp_path: Path):
    ds = xr.Dataset(
        {"x": ("t", np.array([1, 2, -9], np.int16), {"_FillValue": np.int16(-9)}), "g": ("t", ["a", "b", "c"])},
        coords={"t": ["p", "q", "r"]},
    )
    for engine in ("h5netcdf", "scipy"):
        path = tmp_path / f"{engine}.nc"
        ds.to_netcdf(path, engine=engine)
        found = read_netcdf(path)
        np.testing.assert_array_equal(found["x"].values, [1, 2, np.nan])
        assert found["g"].values.tolist() == ["a", "b", "c"] and found["t"].values.tolist() == ["p", "q", "r"]


def test_bare_hdf5(tmp_path: Path):
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["x"] = np.ones((4, 2))
        file["y"] = np.arange(4)
    ds = read_netcdf(tmp_path / "t.h5")
    assert ds["x"].dims[0] == ds["y"].dims[0]


def test_netcdf_without_anything_to_read(tmp_path: Path):
    xr.DataTree.from_dict({"/posterior": xr.Dataset({"x": ("t", [1.0])})}).to_netcdf(
        tmp_path / "t.nc", engine="h5netcdf"
    )
    with pytest.raises(DataError, match=r"holds groups \(posterior\)"):
        read_netcdf(tmp_path / "t.nc")
    with h5py.File(tmp_path / "e.h5", "w"):
        pass
    with pytest.raises(DataError, match="no variable"):
        read_netcdf(tmp_path / "e.h5")


@pytest.mark.parametrize("content", [b"", b"nope", b"CDF\x01 not really", b"\x89HDF\r\n\x1a\n" + b"x" * 100])
def test_damaged_netcdf(tmp_path: Path, content: bytes):
    path = tmp_path / "t.nc"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"t\.nc: cannot be read") as caught:
        read_netcdf(path)
    assert "\n" not in str(caught.value)


def test_npz(tmp_path: Path):
    path = tmp_path / "t.npz"
    np.savez(path, x=np.arange(3.0), g=np.array(["a", "b", "c"]))
    found = read_npz(path)
    assert found["x"].tolist() == [0, 1, 2] and found["g"].tolist() == ["a", "b", "c"]


def test_nothing_is_unpickled(tmp_path: Path):
    path = tmp_path / "t.npz"
    np.savez(path, x=np.arange(3.0), o=np.array([print, None, "a"], dtype=object))
    with pytest.raises(DataError, match=r"t\.npz: array 'o' holds Python objects"):
        read_npz(path)


@pytest.mark.parametrize("content", [b"", b"PK", b"\x80\x04K\x01."])
def test_damaged_npz(tmp_path: Path, content: bytes):
    path = tmp_path / "t.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"t\.npz: cannot be read as npz"):
        read_npz(path)


def test_mapping():
    ds = from_mapping({"x": [1, 2], "im": np.zeros((2, 3, 4))}, "data", "row")
    assert ds["im"].dims == ("row", "im_dim_0", "im_dim_1")
    ds = from_mapping({"x": ("t", [1, 2]), "y": (["t", "k"], np.zeros((2, 3)))}, "data", "row")
    assert ds["y"].dims == ("t", "k")
    assert from_mapping({"x": xr.DataArray([1.0], dims="t")}, "data", "row")["x"].dims == ("t",)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({}, ["no array"]),
        ({"x": [1, 2], "y": [1, 2, 3]}, ["'x' (2,)", "'y' (3,)", "2 against 3 rows"]),
        ({"x": 1.0}, ["'x'", "single value"]),
        ({"x": ("t", [1, 2]), "y": ("t", [1, 2, 3])}, ["conflicting sizes"]),
    ],
)
def test_mappings_that_do_not_fit(arrays: dict, words: list[str]):
    with pytest.raises(DataError) as caught:
        from_mapping(arrays, "data", "row")
    for word in words:
        assert word in str(caught.value)


def test_flags_become_labels():
    attrs = {"flag_values": np.array([0, 1, 2], np.int8), "flag_meanings": "lo mid very_hi"}
    codes = np.array([2, -1, 0], np.int8)
    ds = xr.Dataset({"g": ("t", codes, attrs | {"_FillValue": np.int8(-1), "units": "1"})})
    found = decoded(ds)["g"]
    assert found.values.tolist()[::2] == ["very_hi", "lo"] and found.isnull().values.tolist() == [False, True, False]
    assert found.attrs == {"units": "1", "levels": ["lo", "mid", "very_hi"]}
    exact = xr.Dataset({"g": ("t", codes, attrs | {"labels": json.dumps(["lo", "mid", "very hi"])})})
    assert decoded(exact)["g"].values.tolist()[0] == "very hi"
