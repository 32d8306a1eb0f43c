from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from genprob.data.frames import columns, read_parquet, read_parquet_chunks
from genprob.data.origin import Origin
from genprob.errors import DataError

HERE = Origin("data")


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        (pd.Series([1, 2]), np.array([1, 2])),
        (pd.array([1, None], dtype="Int64"), np.array([1.0, np.nan])),
        (pd.array([1, 2], dtype="Int32"), np.array([1, 2])),
        (pd.array([True, False], dtype="boolean"), np.array([True, False])),
        (pd.array([True, None], dtype="boolean"), np.array([1.0, np.nan])),
        (pd.array([1.5, None], dtype="Float64"), np.array([1.5, np.nan])),
        (pd.array([1, None], dtype="int64[pyarrow]"), np.array([1.0, np.nan])),
        (pd.to_datetime(["2020-01-01T12:00", None]), np.array(["2020-01-01T12", "NaT"], dtype="M8[us]")),
        (
            pd.to_datetime(["2020-01-01T12:00", None]).tz_localize("Etc/GMT-1"),
            np.array(["2020-01-01T11", "NaT"], dtype="M8[us]"),
        ),
        (pd.PeriodIndex(["2020-01", "2020-02"], freq="M"), np.array(["2020-01-01", "2020-02-01"], dtype="M8[us]")),
    ],
)
def test_extension_types(series: object, expected: np.ndarray):
    found = columns(pd.DataFrame({"x": series}), HERE)[0]["x"]
    assert found.dtype.kind == expected.dtype.kind
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", [object, "str", "string", "category"])
def test_strings(dtype: object):
    found = columns(pd.DataFrame({"x": pd.Series(["b", None, "a"], dtype=dtype)}), HERE)[0]["x"]
    assert found.dtype == object
    assert [None if pd.isna(value) else value for value in found] == ["b", None, "a"]


def test_categories_keep_their_order():
    frame = pd.DataFrame({"x": pd.Categorical(["b", "a"], ["c", "b", "a"]), "k": pd.Categorical([2, 1])})
    assert columns(frame, HERE)[1] == {"x": ["c", "b", "a"], "k": ["1", "2"]}


def test_names():
    assert list(columns(pd.DataFrame({0: [1], ("a", "b"): [2]}), HERE)[0]) == ["0", "('a', 'b')"]
    with pytest.raises(DataError, match="data: two columns have the name '1'"):
        columns(pd.DataFrame([[1, 2]], columns=[1, "1"]), HERE)


def test_parquet_whole_and_in_chunks(tmp_path: Path):
    frame = pd.DataFrame({"x": np.arange(10.0), "g": pd.Categorical(list("abababcccc"), ["c", "b", "a"])})
    path = tmp_path / "t.parquet"
    frame.to_parquet(path)
    pd.testing.assert_frame_equal(read_parquet(path), frame)
    parts = list(read_parquet_chunks(path, 4))
    assert [len(part) for part in parts] == [4, 4, 2]
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), frame)


def test_damaged_parquet(tmp_path: Path):
    whole = tmp_path / "t.parquet"
    pd.DataFrame({"x": np.arange(1000.0)}).to_parquet(whole)
    content = whole.read_bytes()
    for damaged in (b"", b"PAR1", content[:-20], content[: len(content) // 2]):
        path = tmp_path / "bad.parquet"
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"bad\.parquet: cannot be read as parquet"):
            read_parquet(path)
        with pytest.raises(DataError, match=r"bad\.parquet: cannot be read as parquet"):
            list(read_parquet_chunks(path, 10))
