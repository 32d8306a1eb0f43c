"""A file of ours comes back the same or not at all."""

import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from genprob.errors import CorruptFileError, DataError, ResourceError, UsageError
from genprob.results import file
from genprob.results.answer import answer_tree


@pytest.fixture(scope="module")
def tree(make_answer):
    return answer_tree(make_answer())


@pytest.fixture
def written(tree, tmp_path):
    return file.write(tree, tmp_path / "a.nc")


def open_files():
    return {
        os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}")
    }


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("single", [False, True])
def test_round_trip(make_answer, tmp_path, lazy, single):
    tree = answer_tree(make_answer(queries=1 if single else 3, single=single))
    path = file.write(tree, tmp_path / "a.nc")
    back = file.open(path, lazy=lazy)
    xr.testing.assert_identical(back, tree)
    for name, node in tree.children.items():
        for variable, values in node.variables.items():
            # A text that is not read yet is declared as wide as its bytes.
            other = back[name].variables[variable].dtype
            assert other == values.dtype or (other.kind == values.dtype.kind == "U" and lazy)
    assert [type(value) for value in back.attrs.values()] == [type(value) for value in tree.attrs.values()]
    assert not any("a.nc" in name for name in open_files())
    assert [p.name for p in tmp_path.iterdir()] == ["a.nc"]


def test_a_data_set(tmp_path):
    data = xr.Dataset(
        {
            "g": ("draw", np.array(["b", "a", "b"], dtype=object), {"levels": ["a", "b"]}),
            "t": ("draw", np.array(["tëxt", "", "x"])),
            "km/h": (("draw", "x"), np.arange(6.0).reshape(3, 2)),
            "when": ("draw", np.array(["2026-01-01", "NaT", "2026-01-03"], "M8[us]")),
            "ok": ("draw", [True, False, True]),
            "none": (("draw", "empty"), np.zeros((3, 0))),
            "scalar": 2.5,
        },
        {"draw": [3, 4, 5], "x": ["p", "q"]},
        {"kind": "exact", "n": 3, "nan": math.nan, "empty": ""},
    )
    back = file.open(file.write(data, tmp_path / "s.nc"))
    expected = data.rename({"km/h": "km_h"})
    expected["km_h"].attrs["long_name"] = "km/h"
    xr.testing.assert_identical(back, expected)
    assert isinstance(back, xr.Dataset) and back["ok"].dtype == bool


def test_other_readers_understand_it(written, tree):
    other = xr.open_datatree(written, engine="h5netcdf")
    posterior = other["posterior"]
    np.testing.assert_array_equal(posterior["price"], tree["posterior"]["price"])
    np.testing.assert_array_equal(posterior["day"], tree["posterior"]["day"])
    cut = posterior["cut"]
    assert cut.attrs["flag_meanings"] == "Very_Good Fair_so ünknown" and cut.attrs["flag_values"].tolist() == [0, 1, 2]
    levels = np.array(["Very Good", "Fair, so", "ünknown"], dtype=object)
    np.testing.assert_array_equal(levels[cut.values.astype(int)], tree["posterior"]["cut"])
    np.testing.assert_array_equal(other["sample_stats"]["strategy"], tree["sample_stats"]["strategy"])
    np.testing.assert_array_equal(other["marginals"]["level_cut"], levels)
    assert other.attrs["reliable"] == tree.attrs["reliable"]
    other.close()


def test_storage(written):
    with h5py.File(written) as hdf:

        def check(name, item):
            if (
                isinstance(item, h5py.Dataset)
                and not name.endswith("_characters")
                and item.attrs.get("CLASS") != b"DIMENSION_SCALE"
            ):
                assert item.compression in (None, "gzip")
                if item.shape:
                    assert item.fletcher32 and item.chunks
                if item.dtype.kind == "f":
                    assert item.compression is None

        hdf.visititems(check)
        assert hdf["posterior/cut"].dtype == np.int8 and hdf["posterior/cut"].attrs["_FillValue"] == -1


@pytest.fixture(scope="module")
def small(make_answer, tmp_path_factory):
    answer = make_answer(queries=1, chains=1, size=3, targets=("price", "cut"), single=True, prior=False, observed=None)
    tree = answer_tree(answer)
    # Fewer variables of the same sorts: hundreds of damaged copies are opened.
    for group, names in (
        ("marginals", ["price_mean", "cut_pmf"]),
        ("sample_stats", ["ess", "computation", "reliable"]),
    ):
        tree[group] = xr.DataTree(tree[group].to_dataset()[names])
    return tree, file.write(tree, tmp_path_factory.mktemp("small") / "a.nc")


def test_the_digest_sees_what_checksums_do_not(small, tmp_path):
    tree, path = small

    def alter(change):
        copy = tmp_path / "b.nc"
        shutil.copy(path, copy)
        with h5py.File(copy, "r+") as hdf:
            change(hdf)
        with pytest.raises(CorruptFileError, match=r"b\.nc: altered since it was written"):
            file.open(copy)

    def set_value(hdf):
        hdf["posterior/price"][0, 0] += 1

    def set_scalar_attribute(hdf):
        hdf.attrs["reliable"] = 1 - tree.attrs["reliable"]

    def set_text(hdf):
        hdf["sample_stats/computation"][0] = b"f"

    alter(set_value)
    alter(set_scalar_attribute)
    alter(set_text)
    alter(lambda hdf: hdf.attrs.__setitem__("new", "x"))
    alter(lambda hdf: hdf.attrs.__delitem__("seed"))
    alter(lambda hdf: hdf["posterior/price"].attrs.__setitem__("units", "EUR"))
    alter(lambda hdf: hdf.attrs.__setitem__("genprob_digest", "0" * 64))
    alter(lambda hdf: hdf.move("posterior/cut", "posterior/cute"))
    alter(lambda hdf: hdf.__delitem__("query"))


def refused_or_same(path, tree):
    """1 if refused, 0 if it reads as the very tree."""
    try:
        back = file.open(path)
    except CorruptFileError as error:
        assert str(path) in str(error)
        return 1
    assert back.identical(tree)
    return 0


@pytest.mark.parametrize("part", range(4))
def test_flipped_bits(small, tmp_path, part):
    tree, path = small
    raw, rng = path.read_bytes(), np.random.default_rng(part)
    target = tmp_path / "b.nc"
    refused = 0
    for bit in rng.choice(8 * len(raw), 102, replace=False):
        altered = bytearray(raw)
        altered[bit // 8] ^= 1 << (bit % 8)
        target.write_bytes(altered)
        refused += refused_or_same(target, tree)
    assert refused > 51
    assert not any("b.nc" in name for name in open_files())


def test_truncations(small, tmp_path):
    tree, path = small
    raw = path.read_bytes()
    target = tmp_path / "b.nc"
    for size in [0, 1, 7, 8, 9, *np.random.default_rng(0).integers(10, len(raw), 60), len(raw) - 1]:
        target.write_bytes(raw[:size])
        assert refused_or_same(target, tree)


def test_files_that_are_not_ours(tmp_path):
    with pytest.raises(DataError, match=r"none\.nc: no such file"):
        file.open(tmp_path / "none.nc")
    with pytest.raises(DataError, match="is a folder"):
        file.open(tmp_path)
    foreign = tmp_path / "f.nc"
    xr.Dataset({"x": ("t", [1.0])}).to_netcdf(foreign, engine="h5netcdf")
    with pytest.raises(CorruptFileError, match=r"f\.nc: is not a genprob file; read it with genprob\.read"):
        file.open(foreign)
    foreign.write_text("a,b\n1,2\n")
    with pytest.raises(CorruptFileError, match="not HDF5"):
        file.open(foreign)


@pytest.mark.parametrize("attrs", [{"odd": None}, {"odd": True}, {"odd": {"a": 1}}])
def test_wrong_attributes_are_refused_early(tmp_path, attrs):
    path = tmp_path / "a.nc"
    path.write_text("old")
    for data in (xr.Dataset({"x": ("t", [1.0])}, attrs=attrs), xr.Dataset({"x": ("t", [1.0], attrs)})):
        with pytest.raises(UsageError, match="attribute 'odd'"):
            file.write(data, path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.nc"]
    assert not any(str(tmp_path) in name for name in open_files())


@pytest.fixture
def small_disk():
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small disk needs root")
    folder = Path(tempfile.mkdtemp())
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True).returncode:
        pytest.skip("this system does not let us mount")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
    folder.rmdir()


@pytest.mark.parametrize("known", [True, False])
def test_a_full_disk(small_disk, tree, monkeypatch, known):
    path = small_disk / "a.nc"
    file.write(tree, path)
    if not known:
        # As if another process took the space after it was checked: HDF5 itself meets the full disk.
        monkeypatch.setattr("genprob.atomic.require_space", lambda *_: None)
    large = xr.Dataset({"x": ("t", np.random.default_rng(0).normal(size=200_000))})
    with pytest.raises(ResourceError, match=r"a\.nc: the disk is full"):
        file.write(large, path)
    xr.testing.assert_identical(file.open(path), tree)
    assert [p.name for p in small_disk.iterdir()] == ["a.nc"]
    assert not any(str(small_disk) in name for name in open_files())


def test_a_kill_while_writing_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.nc"
    code = (
        "import numpy as np, xarray as xr; from genprob.results import file\n"
        "k = 0\n"
        "while True:\n"
        "    k += 1\n"
        f"    file.write(xr.Dataset({{'x': ('t', np.full(200_000, float(k)))}}), {str(path)!r})\n"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as writer:
        for _ in range(2000):
            if path.exists():
                break
            time.sleep(0.01)
        time.sleep(0.15)
        writer.send_signal(signal.SIGKILL)
    values = file.open(path)["x"].values
    assert values[0] >= 1 and (values == values[0]).all()
