"""Files made to mislead are refused before a value is read."""

import h5py
import numpy as np
import pytest
import xarray as xr

from genprob.errors import CorruptFileError
from genprob.results import file


@pytest.fixture
def path(tmp_path):
    return file.write(xr.Dataset({"x": ("t", np.arange(5.0))}), tmp_path / "a.nc")


def external_link(hdf, tmp_path):
    hdf["out"] = h5py.ExternalLink("/etc/passwd", "/x")


def soft_link(hdf, tmp_path):
    hdf["out"] = h5py.SoftLink("/x")


def broken_link(hdf, tmp_path):
    hdf["out"] = h5py.SoftLink("/nowhere")


def loop(hdf, tmp_path):
    hdf.create_group("g")["back"] = hdf["/"]


def twice(hdf, tmp_path):
    hdf["again"] = hdf["x"]


def external_storage(hdf, tmp_path):
    (tmp_path / "secret").write_bytes(bytes(80))
    hdf.create_dataset("out", (10,), "f8", external=[(str(tmp_path / "secret"), 0, 80)])


def virtual(hdf, tmp_path):
    layout = h5py.VirtualLayout((5,), "f8")
    layout[:] = h5py.VirtualSource(str(tmp_path / "b.nc"), "x", shape=(5,))
    hdf.create_virtual_dataset("out", layout)


def terabytes(hdf, tmp_path):
    hdf.create_dataset("out", (1 << 40,), "f8", chunks=(1 << 16,), compression="gzip")


def terabytes_of_one_value(hdf, tmp_path):
    data = hdf.create_dataset("out", (1 << 40,), "i1", chunks=(1 << 20,), compression="gzip")
    data[: 1 << 20] = 1


def terabytes_to_a_scale(hdf, tmp_path):
    data = hdf.create_dataset("out", (1 << 40,), "f8", chunks=(1 << 16,))
    data.make_scale("This is a netCDF dimension but not a netCDF variable. 1")
    data[:10] = 1.0


def objects(hdf, tmp_path):
    hdf.create_dataset("out", (2,), h5py.string_dtype())


def references(hdf, tmp_path):
    hdf.create_dataset("out", data=hdf["x"].ref, dtype=h5py.ref_dtype)


def empty(hdf, tmp_path):
    hdf["out"] = h5py.Empty("f8")


def named_type(hdf, tmp_path):
    hdf["out"] = np.dtype("f8")


def foreign_filter(hdf, tmp_path):
    hdf.create_dataset("out", data=np.arange(100.0), chunks=(10,), compression="lzf")


PLANTED = (
    external_link, soft_link, broken_link, loop, twice, external_storage, virtual, terabytes, terabytes_of_one_value,
    terabytes_to_a_scale, objects, references, empty, named_type, foreign_filter,
)  # fmt: skip


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_refused_by_name(path, tmp_path, plant):
    with h5py.File(path, "r+") as hdf:
        plant(hdf, tmp_path)
    with pytest.raises(CorruptFileError, match=r"a\.nc: (/out|/again|/g/back|declares)") as caught:
        file.open(path)
    assert "digest" not in str(caught.value)


def test_our_own_compresses_as_far_as_gzip_can(tmp_path):
    data = xr.Dataset({"x": ("t", np.zeros(3_000_000, np.int8)), "y": ("t", np.zeros(3_000_000, np.int64))})
    path = file.write(data, tmp_path / "a.nc")
    assert path.stat().st_size < 200_000
    xr.testing.assert_identical(file.open(path), data)
