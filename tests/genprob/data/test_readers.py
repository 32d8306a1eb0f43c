import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from genprob.data.infer import infer_schema
from genprob.data.readers import read, read_chunks
from genprob.data.schema import Schema, Variable
from genprob.data.schema_file import to_toml
from genprob.data.support import Categorical, Count, Real
from genprob.data.table import Table
from genprob.errors import DataError, UsageError


def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "x": [0.1, np.nan, 1e-300, -3.0],
            "n": [1, 2, 3, 5],
            "g": ["a", None, 'b, "c"', "ü"],
            "b": [True, False, True, True],
            "t": pd.to_datetime(["2020-01-01", None, "2020-01-03", "1969-01-01"]),
        }
    )


def sources(folder: Path) -> dict[str, object]:
    """The same four rows in every form."""
    data = frame()
    data.to_csv(folder / "t.csv", index=False)
    data.to_csv(folder / "index.csv")
    data.to_csv(folder / "t.tsv", index=False, sep="\t")
    data.to_csv(folder / "t.csv.gz", index=False)
    data.to_parquet(folder / "t.parquet")
    arrays = {name: data[name].to_numpy() for name in data} | {"g": data["g"].astype(object).to_numpy()}
    ds = xr.Dataset({name: ("row", array) for name, array in arrays.items()})
    ds.assign(g=("row", ["a", "", 'b, "c"', "ü"])).to_netcdf(folder / "t.nc", engine="h5netcdf")
    np.savez(folder / "t.npz", **(arrays | {"g": np.array(["a", "", 'b, "c"', "ü"])}))
    files = ("t.csv", "index.csv", "t.tsv", "t.csv.gz", "t.parquet", "t.nc", "t.npz")
    return {name: folder / name for name in files} | {"frame": data, "dataset": ds, "mapping": arrays}


FORMS = ("t.csv", "index.csv", "t.tsv", "t.csv.gz", "t.parquet", "t.nc", "t.npz", "frame", "dataset", "mapping")


@pytest.mark.parametrize("form", FORMS)
def test_every_source_gives_the_same_data(tmp_path: Path, form: str):
    source = sources(tmp_path)[form]
    ds = read(source)
    data = frame()
    assert list(ds.data_vars) == list(data) and ds["x"].dims == ("row",) and set(ds.attrs) <= {"source", "note"}
    for name in ("x", "n", "b"):
        np.testing.assert_array_equal(ds[name].values, data[name].to_numpy())
        assert ds[name].dtype == data[name].dtype
    np.testing.assert_array_equal(ds["t"].values, data["t"].to_numpy())
    assert ds["g"].dtype == object
    assert ds["g"].fillna("-").values.tolist() == ["a", "-", 'b, "c"', "ü"]
    whole = Table.from_dataset(infer_schema(ds), ds).values
    parts = [Table.from_dataset(infer_schema(ds), part) for part in read_chunks(source, 3, schema=infer_schema(ds))]
    np.testing.assert_array_equal(np.concatenate([part.values for part in parts]), whole)
    assert [part.coord.tolist() for part in parts if part.coord is not None] == [[0, 1, 2], [3]]


@given(
    st.lists(
        st.tuples(
            st.floats(allow_infinity=False),
            st.text(st.characters(min_codepoint=97, max_codepoint=122), min_size=5).filter(
                lambda s: s not in ("false",)
            ),
        ),
        min_size=1,
    )
)
def test_numbers_and_words_come_back_from_csv(rows: list[tuple[float, str]]):
    import tempfile

    data = pd.DataFrame(rows, columns=["x", "g"])
    with tempfile.TemporaryDirectory() as folder:
        data.to_csv(f"{folder}/t.csv", index=False)
        ds = read(f"{folder}/t.csv", schema={"g": "categorical", "x": "ignore"})
    np.testing.assert_array_equal(ds["x"].values.astype(float), data["x"].to_numpy())
    assert ds["g"].values.tolist() == data["g"].tolist()


def test_a_csv_with_every_bad_thing_in_it(tmp_path: Path):
    """Faults come to light one at a time, each told by its place; mended one by one, the file is read."""
    lines = [
        b",id,x,x,g,h,e",
        b"0,a1,1.5,2,caf\xe9,1,",
        b"1,a2,inf,3,b,2",
        b"",
        b"2,a3,2.5,4,,3,NA",
        b"3,a4,1,5, b ,oops,?",
        b'4,a5,"7.25",6,b,4,',
    ]
    path = tmp_path / "bad.csv"

    def fault() -> str:
        path.write_bytes(b"\n".join(lines))
        with pytest.raises(DataError) as caught:
            ds = read(path)
            infer_schema(ds)
        assert "\n" not in str(caught.value) and str(path) in str(caught.value)
        return str(caught.value)

    assert "line 1: columns [3, 4] have the same name 'x'" in fault()
    lines[0] = b",id,x,y,g,h,e"
    assert "line 2: byte 0xe9 is not UTF-8" in fault()
    lines[1] = "0,a1,1.5,2,café,1,".encode()
    assert "line 3 has 6 fields, the header has 7" in fault()
    lines[2] += b","
    assert "'h' holds numbers, except line 6: 'oops'" in fault()
    lines[5] = b"3,a4,1,5, b ,,?"
    assert "'x' is infinite: row 1: inf" in fault()
    lines[2] = b"1,a2,,3,b,2,"
    assert "'e' has no known cell" in fault()
    ds = read(path, schema={"e": "ignore"})
    assert ds.sizes == {"row": 5} and "row index" in ds.attrs["note"]
    np.testing.assert_array_equal(ds["x"].values, [1.5, np.nan, 2.5, 1.0, 7.25])
    assert ds["g"].fillna("-").values.tolist() == ["café", "b", "-", "b", "b"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t.xlsx", b"PK", [".xlsx", ".csv"]),
        ("t", b"x\n1\n", ["nothing", ".csv"]),
        ("t.parquet", b"PAR1", ["parquet"]),
        ("t.nc", b"x", ["netCDF"]),
        ("t.npz", b"PK", ["npz"]),
        ("t.csv", b"", ["empty"]),
        ("t.csv", b"x,y\n1,\n2,\n", ["'y'", "no known cell"]),
        ("t.csv", b"x,y\n1,2\n-inf,3\n", ["'x'", "line 3", "-inf"]),
    ],
)
def test_bad_files(tmp_path: Path, name: str, content: bytes, words: list[str]):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read(path)
    for word in [str(path), *words]:
        assert word in str(caught.value)


def test_what_is_no_file(tmp_path: Path):
    with pytest.raises(DataError, match="no such file"):
        read(tmp_path / "none.csv")
    with pytest.raises(DataError, match=r"no such file.*did you mean 'diamonds'"):
        read("diamond")
    with pytest.raises(DataError, match="is a folder"):
        read(tmp_path)
    (tmp_path / "MANIFEST.json").write_text("{}")
    with pytest.raises(DataError, match=r"genprob\.load"):
        read(tmp_path)


@pytest.mark.parametrize("source", [None, 3, [1, 2]])
def test_what_is_no_data(source: object):
    with pytest.raises(UsageError, match=type(source).__name__):
        read(source)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (pd.DataFrame({"x": [1.0, np.inf]}), ["'x'", "row 1", "inf"]),
        (pd.DataFrame({"x": [1.0, np.inf]}, index=["a", "b"]), ["row 'b'"]),
        (pd.DataFrame({"x": [1, "b", 2]}), ["'x'", "row 1: 'b'"]),
        (pd.DataFrame({"x": []}), ["no rows"]),
        (pd.DataFrame(), ["no variable"]),
        (pd.DataFrame({"x": [None, None], "y": [1, 2]}), ["'x'", "no known cell"]),
        ({"x": np.zeros((2, 0)), "y": [1, 2]}, ["'x'", "no known cell"]),
        ({"x": np.array([1j])}, ["complex"]),
        (xr.Dataset({"x": ("a", [1.0]), "y": ("b", [1.0])}), ["'x' (dims a)", "'y' (dims b)"]),
        (xr.Dataset({"im": (("t", "k"), [[1.0, np.inf]])}), ["row 0 at [1]"]),
    ],
)
def test_bad_objects(source: object, words: list[str]):
    with pytest.raises(DataError) as caught:
        read(source)
    for word in words:
        assert word in str(caught.value)


def test_sample_dimensions(tmp_path: Path):
    path = tmp_path / "t.csv"
    path.write_text("id,x\na,1\nb,2\n")
    ds = read(path, sample_dim="id")
    assert list(ds.data_vars) == ["x"] and ds["id"].values.tolist() == ["a", "b"]
    assert read(path, sample_dim="patient")["x"].dims == ("patient",)
    assert read(pd.DataFrame({"row": [3, 4], "x": [1, 2]}))["row"].dims == ("sample",)
    labelled = read(pd.DataFrame({"x": [1, 2]}, index=[7, 9]))
    assert labelled["row"].values.tolist() == [7, 9]
    arrays = xr.Dataset({"x": (("t", "k"), np.arange(6.0).reshape(2, 3))}, coords={"k": list("abc")})
    assert read(arrays)["x"].dims == ("t", "k")
    turned = read(arrays, sample_dim="k")
    assert turned["x"].dims == ("k", "t") and turned["k"].values.tolist() == ["a", "b", "c"]
    with pytest.raises(UsageError, match="sample_dim='z'"):
        read(arrays, sample_dim="z")
    with pytest.raises(DataError, match="'y' lack the sample dimension 'k'"):
        read(arrays.assign(y=("t", [1, 2])), sample_dim="k")


def test_arrays_and_series():
    assert read(xr.DataArray(np.zeros((2, 3)), dims=("t", "k"), name="im"))["im"].shape == (2, 3)
    assert list(read(pd.Series([1, 2], name="x")).data_vars) == ["x"]
    assert read({"im": np.zeros((4, 2, 2), np.uint8)})["im"].dtype == np.uint8


def test_levels_keep_the_order_of_the_source(tmp_path: Path):
    data = pd.DataFrame({"g": pd.Categorical(["lo", "hi"], ["lo", "mid", "hi"], ordered=True)})
    data.to_parquet(tmp_path / "t.parquet")
    for source in (data, tmp_path / "t.parquet"):
        assert infer_schema(read(source))["g"].support == Categorical(("lo", "mid", "hi"), ordered=True)


def test_a_partial_schema_is_applied(tmp_path: Path):
    path = tmp_path / "t.csv"
    path.write_text("g,k,s,x\n1,9,None,5\n2,other,a,7\n")
    ds = read(path, schema={"g": "categorical", "k": "categorical", "s": "categorical(None,a)"})
    assert ds["g"].values.tolist() == ["1", "2"] and ds["k"].values.tolist() == ["9", "other"]
    assert ds["s"].values.tolist() == ["None", "a"]
    with pytest.raises(DataError, match=r"'k' holds numbers|'k'.*'other'"):
        read(path, schema={"k": "count"})
    with pytest.raises(DataError, match=r"no variable 'y'.*it has 'g', 'k', 's', 'x'"):
        read(path, schema={"y": "count"})
    with pytest.raises(DataError, match=r"variable 'x': row 0 \(line 2\): 5"):
        read(path, schema={"x": "interval(0, 1)"})
    with pytest.raises(UsageError, match=r"'x'.*'reel'"):
        read(path, schema={"x": "reel"})


def test_a_whole_schema_selects_and_checks(tmp_path: Path):
    path = tmp_path / "t.csv"
    path.write_text("x,n,g,junk\n1.5,1,a,1\n,,,oops\n2.5,2,b,3\n")
    schema = Schema((Variable("n", Count()), Variable("x", Real()), Variable("g", Categorical(("a", "b")))))
    (tmp_path / "s.toml").write_text(to_toml(schema))
    for form in (schema, tmp_path / "s.toml"):
        assert list(read(path, schema=form).data_vars) == ["n", "x", "g"]
    with pytest.raises(DataError, match=r"'g', row|variable 'g': row 2 \(line 4\): 'b'"):
        read(path, schema=Schema((Variable("g", Categorical(("a",))),)))
    path.write_text("x,g\n,a\n,b\n")
    with pytest.raises(DataError, match="no variable 'n'"):
        read(path, schema=schema)
    asked = read(path, schema=schema, allow_missing=True)
    assert np.isnan(Table.from_dataset(schema, asked, allow_missing=True).values[:, :2]).all()
    path.write_text("y\n1\n")
    with pytest.raises(DataError, match="none of the schema's variables"):
        read(path, schema=schema, allow_missing=True)


def test_chunks_need_a_size_and_rows(tmp_path: Path):
    path = tmp_path / "t.parquet"
    pd.DataFrame({"x": []}).to_parquet(path)
    for source, rows, error in ((path, 5, DataError), ({"x": [1]}, 0, UsageError)):
        with pytest.raises(error):
            list(read_chunks(source, rows))


def test_chunks_of_gzip(tmp_path: Path):
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"x\n" + b"1\n" * 25))
    assert [ds.sizes["row"] for ds in read_chunks(path, 10)] == [10, 10, 5]


def test_one_million_rows_take_seconds(tmp_path: Path):
    import time

    path = tmp_path / "t.csv"
    block = "".join(f"{i / 7!r},{i},{'abc'[i % 3]}\n" for i in range(1000))
    path.write_text("x,n,g\n" + block * 1000)
    start = time.perf_counter()
    ds = read(path)
    assert ds.sizes["row"] == 1_000_000
    assert time.perf_counter() - start < 20


def test_texts_among_numbers_are_told_of_all_variables():
    columns = {name: [1.5, 2.0, "x", *range(40)] for name in "ab"}
    with pytest.raises(DataError, match=r"'a'.*Refused as well: 'b'"):
        read({**columns, "c": np.arange(43.0)})
