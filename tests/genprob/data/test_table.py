import numpy as np
import pytest
import xarray as xr

from genprob.data.dates import DAYS
from genprob.data.measure import Cell
from genprob.data.schema import Schema, Variable
from genprob.data.support import Binary, Categorical, Count, Positive, Real
from genprob.data.table import Table
from genprob.errors import DataError

SCHEMA = Schema(
    (
        Variable("g", Categorical(("a", "b"))),
        Variable("x", Positive(), Cell(0.01)),
        Variable("id", Real(), role="ignored"),
        Variable("n", Count()),
        Variable("t", Real(), Cell(1.0), unit=DAYS),
        Variable("im", Binary(), dims=("y", "z"), shape=(2, 3)),
    )
)


def data() -> xr.Dataset:
    rng = np.random.default_rng(0)
    return xr.Dataset(
        {
            "im": (("row", "y", "z"), rng.integers(0, 2, (4, 2, 3))),
            "other": ("row", list("wxyz")),
            "g": ("row", np.array(["b", None, "a", "a"], dtype=object)),
            "x": ("row", [0.29, 5.01, np.nan, 0.07]),
            "n": ("row", [0, 3, 2, 1]),
            "t": ("row", np.array(["2020-01-01", "NaT", "2021-06-30", "1960-01-01"], dtype="datetime64[ns]")),
        },
        coords={"row": ["p", "q", "r", "s"]},
    )


def test_columns_in_the_schemas_order():
    table = Table.from_dataset(SCHEMA, data())
    assert table.schema.names == ("g", "x", "n", "t", "im")
    assert table.values.shape == (4, 10) and table.values.dtype == np.float64
    np.testing.assert_array_equal(table.values[:, 0], [1, np.nan, 0, 0])
    np.testing.assert_array_equal(table.values[:, table.schema.slices["im"]], data()["im"].values.reshape(4, 6))
    np.testing.assert_array_equal(table.observed, ~np.isnan(table.values))
    assert len(table) == 4 and table.coord is not None and table.coord.tolist() == ["p", "q", "r", "s"]


def test_the_data_come_back_exactly():
    back = Table.from_dataset(SCHEMA, data()).to_dataset()
    for name in ("im", "x", "n", "t"):
        np.testing.assert_array_equal(back[name].values, data()[name].values)
        assert back[name].dims == data()[name].dims
    assert back["n"].dtype == np.int64
    assert back["g"].fillna("-").values.tolist() == ["b", "-", "a", "a"]
    assert back["g"].attrs["levels"] == ["a", "b"]
    assert back["row"].values.tolist() == ["p", "q", "r", "s"]
    again = Table.from_dataset(SCHEMA, back)
    np.testing.assert_array_equal(again.values, Table.from_dataset(SCHEMA, data()).values)


def test_rows():
    table = Table.from_dataset(SCHEMA, data())
    part = table.rows(np.array([2, 0]))
    np.testing.assert_array_equal(part.values, table.values[[2, 0]])
    assert part.coord is not None and part.coord.tolist() == ["r", "p"]
    assert len(table.rows(slice(1))) == 1


def test_dimensions_are_found_by_name():
    turned = data().transpose("z", "y", "row").rename(row="patient")
    expected = Table.from_dataset(SCHEMA, data()).values
    np.testing.assert_array_equal(Table.from_dataset(SCHEMA, turned).values, expected)
    np.testing.assert_array_equal(Table.from_dataset(SCHEMA, data().rename(y="v", z="w")).values, expected)


def test_absent_variables():
    with pytest.raises(DataError, match="no variable 'n'"):
        Table.from_dataset(SCHEMA, data().drop_vars("n"))
    table = Table.from_dataset(SCHEMA, data().drop_vars("n"), allow_missing=True)
    assert np.isnan(table.values[:, 2]).all() and not table.notes


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("g", "c", ["'g'", "row 'q'", "'c'", "a, b"]),
        ("x", -1.0, ["'x'", "row 'q'", "-1", "above zero"]),
        ("x", np.inf, ["'x'", "row 'q'", "inf"]),
        ("x", "abc", ["'x'", "row 'q'", "'abc'", "not a number"]),
        ("n", 1.5, ["'n'", "row 'q'", "1.5"]),
    ],
)
def test_bad_cells_are_named(name: str, value: object, words: list[str]):
    ds = data()
    array = ds[name].values.astype(object)
    array[1] = value
    with pytest.raises(DataError) as caught:
        Table.from_dataset(SCHEMA, ds.assign({name: ("row", array)}), source="bad.nc")
    for word in ["bad.nc", *words]:
        assert word in str(caught.value)
    table = Table.from_dataset(SCHEMA, ds.assign({name: ("row", array)}), strict=False)
    assert np.isnan(table.rows(np.array([1])).values[0, table.schema.slices[name]]).all()
    assert any(repr(name) in note for note in table.notes)


def test_other_variables_may_lie_elsewhere():
    ds = data().assign(score=("fold", [0.1, 0.2]))
    np.testing.assert_array_equal(Table.from_dataset(SCHEMA, ds).values, Table.from_dataset(SCHEMA, data()).values)


def test_wrong_event_shape_names_both_sides():
    with pytest.raises(DataError, match=r"'im' has the event shape \(2, 2\), the schema \(2, 3\)"):
        Table.from_dataset(SCHEMA, data().isel(z=slice(2)))
    with pytest.raises(DataError, match="without 'row'"):
        Table.from_dataset(SCHEMA, data().assign(n=("k", [1, 2])))


def test_an_empty_row_is_noted():
    schema = Schema((Variable("x", Real()), Variable("n", Count())))
    ds = xr.Dataset({"x": ("row", [1.0, np.nan]), "n": ("row", [2.0, np.nan])})
    assert "row 1" in Table.from_dataset(schema, ds).notes[0]


def test_an_absent_variable_beside_its_own_name_misspelt_is_no_hole():
    renamed = data().rename({"n": "N "})
    with pytest.raises(DataError, match=r"no variable 'n', but a column 'N '; rename it"):
        Table.from_dataset(SCHEMA, renamed, allow_missing=True)
    assert np.isnan(Table.from_dataset(SCHEMA, renamed.rename({"N ": "quantity"}), allow_missing=True).values).any()
