"""A streamed answer is the file that writing it whole would make, in memory that does not grow with it."""

import os
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest
import xarray as xr

from genprob.errors import CorruptFileError, ResourceError, UsageError
from genprob.results import file
from genprob.results.answer import answer_tree
from genprob.results.stream import AnswerStream

CUTS = ((0, 3), (3, 4), (4, 11))


@pytest.fixture(scope="module")
def whole(make_answer):
    # Longer texts later, so that the width of the characters has to grow.
    return make_answer(
        queries=11,
        prior=False,
        targets=("price", "cut", "n", "img", "day"),
        strategy=["importance" * (1 + i // 4) for i in range(11)],
    )


@pytest.fixture(scope="module")
def parts(whole, cut_answer):
    return [answer_tree(cut_answer(whole, slice(*cut))) for cut in CUTS]


def digest(path):
    with h5py.File(path) as hdf:
        return hdf.attrs["genprob_digest"]


@pytest.mark.parametrize("queries", [None, 11])
@pytest.mark.parametrize("lazy", [False, True])
def test_equals_the_file_written_whole(whole, parts, tmp_path, queries, lazy):
    path = tmp_path / "a.nc"
    with AnswerStream(path, queries) as stream:
        for part in parts:
            stream.append(part)
    expected = answer_tree(whole)
    expected.attrs["seconds"] = 0.5 * len(parts)
    xr.testing.assert_identical(file.open(path, lazy=lazy), expected)
    assert digest(path) == digest(file.write(expected, tmp_path / "b.nc"))
    with h5py.File(path) as hdf:
        for variable in (hdf["posterior/price"], hdf["sample_stats/strategy"]):
            assert [dim[0].shape[0] for dim in variable.dims] == list(variable.shape)
    with xr.open_datatree(path, engine="h5netcdf") as other:
        assert other["sample_stats"]["strategy"].values.tolist() == list(whole.strategy)
        assert other["posterior"].sizes["query"] == 11


def test_gaps_may_turn_up_late(whole, cut_answer, tmp_path):
    """A query without an answer has NaN draws; the integers of earlier batches are integers on disk."""
    first, later = answer_tree(cut_answer(whole, slice(0, 3))), cut_answer(whole, slice(3, 5))
    later.values[0] = np.nan
    with AnswerStream(tmp_path / "a.nc") as stream:
        stream.append(first)
        stream.append(answer_tree(later))
    for lazy in (False, True):
        back = file.open(tmp_path / "a.nc", lazy=lazy)["posterior"]
        np.testing.assert_array_equal(back["n"][:3].values, first["posterior"]["n"])
        assert np.isnan(back["n"][3].values).all() and not np.isnan(back["n"][4].values).any()
        assert back["cut"][3].isnull().all() and back["day"][3].isnull().all()


def test_damage_is_seen(parts, tmp_path):
    path = tmp_path / "a.nc"
    with AnswerStream(path) as stream:
        for part in parts:
            stream.append(part)
    with h5py.File(path, "r+") as hdf:
        hdf["sample_stats/ess"][10] += 1
    for lazy in (False, True):
        with pytest.raises(CorruptFileError, match="altered"):
            file.open(path, lazy=lazy)


def test_batches_that_do_not_go_together(parts, whole, make_answer, cut_answer, tmp_path):
    path = tmp_path / "a.nc"
    path.write_text("old")
    fewer = answer_tree(make_answer(queries=2, prior=False, targets=("price",)))
    shorter = answer_tree(make_answer(queries=2, prior=False, size=5, targets=whole.targets))
    single = answer_tree(make_answer(queries=1, single=True))
    for odd, reason in ((fewer, "not in every part"), (shorter, "between parts"), (single, "a batch of one")):
        with pytest.raises(UsageError, match=reason), AnswerStream(path) as stream:
            stream.append(parts[0])
            stream.append(odd)
    with pytest.raises(UsageError, match="3 of the 11 announced"), AnswerStream(path, 11) as stream:
        stream.append(parts[0])
    with pytest.raises(UsageError, match="more than the 2"), AnswerStream(path, 2) as stream:
        stream.append(parts[0])
    with pytest.raises(UsageError, match="no query"), AnswerStream(path):
        pass
    with pytest.raises(KeyboardInterrupt), AnswerStream(path) as stream:
        stream.append(parts[0])
        raise KeyboardInterrupt
    with pytest.raises(UsageError, match="`with` block"):
        AnswerStream(path).append(parts[0])
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["a.nc"]


def test_a_disk_that_fills_up_on_the_way(parts, tmp_path, monkeypatch):
    path = tmp_path / "a.nc"
    with pytest.raises(ResourceError, match="the disk is full"), AnswerStream(path) as stream:
        stream.append(parts[0])
        monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 9, 3))
        stream.append(parts[1])
    assert not list(tmp_path.iterdir())


def test_memory_does_not_grow_with_the_answer(tmp_path):
    """120 MB are streamed and read back in slabs by a process that may grow by 60 MB after its first batch."""
    code = f"""
import resource, sys
import numpy as np
import xarray as xr
from genprob.results import file
from genprob.results.stream import AnswerStream

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

def batch(k):
    n = 500
    rng = np.random.default_rng(k)
    return xr.DataTree.from_dict({{
        "/posterior": xr.Dataset({{"x": (("query", "chain", "draw"), rng.normal(size=(n, 1, 500)))}}),
        "/sample_stats": xr.Dataset({{"ess": ("query", np.ones(n)), "reasons": ("query", np.full(n, "none"))}}),
    }})

path = {str(tmp_path / "a.nc")!r}
with AnswerStream(path) as stream:
    for k in range(60):
        stream.append(batch(k))
        if k == 1:
            before = peak()
tree = file.open(path, lazy=True)
assert tree["posterior"].sizes["query"] == 30_000
for k in (0, 37):
    values = tree["posterior"]["x"][500 * k : 500 * (k + 1)].values
    assert np.array_equal(values, batch(k)["posterior"]["x"])
assert tree.attrs["queries"] == 30_000
grown = peak() - before
assert grown < 60, grown
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert os.path.getsize(tmp_path / "a.nc") > 115e6
