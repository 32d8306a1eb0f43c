import numpy as np
import pyarrow as pa
import pytest

from genprob.data.origin import Origin
from genprob.data.text_cells import NA, misfits, typed
from genprob.errors import DataError


def read(*cells: str, levels: tuple[str, ...] | None = None) -> np.ndarray:
    return typed(pa.chunked_array([pa.array(cells, pa.string())]), "x", Origin("t.csv"), levels)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (("1", "-2"), np.array([1, -2])),
        (("1", ""), np.array([1.0, np.nan])),
        ((" 1 ", "2.5"), np.array([1.0, 2.5])),
        (("+1.5", "2e3"), np.array([1.5, 2000.0])),
        (("0.1", ".5", "5.", "1E-3"), np.array([0.1, 0.5, 5.0, 0.001])),
        (("True", "false"), np.array([True, False])),
        (("TRUE", "NA"), np.array([1.0, np.nan])),
        (("2020-01-31", "NA"), np.array(["2020-01-31", "NaT"], dtype="datetime64[us]")),
        (
            ("2020-01-31 10:00", "2020-02-01T10:00:00.5Z"),
            np.array(["2020-01-31T10", "2020-02-01T10:00:00.5"], "M8[us]"),
        ),
        (("", "NA"), np.array([np.nan, np.nan])),
    ],
)
def test_types(cells: tuple[str, ...], expected: np.ndarray):
    found = read(*cells)
    assert found.dtype.kind == expected.dtype.kind
    np.testing.assert_array_equal(found, expected)


def test_labels():
    assert read("a", " b ", "NA", "").tolist() == ["a", "b", None, None]
    assert read("1", "2", levels=("1", "2")).tolist() == ["1", "2"]
    assert read("None", "NA", "a", levels=("None", "a")).tolist() == ["None", None, "a"]
    assert read("1.2.3", "1.2.4").tolist() == ["1.2.3", "1.2.4"]


def test_every_na_word_is_missing():
    assert np.isnan(read(*NA, "1")).sum() == len(NA)


def test_floats_are_the_nearest_to_their_decimals():
    values = np.random.default_rng(0).normal(size=2000) * 10.0 ** np.linspace(-40, 40, 2000)
    texts = [repr(x) for x in values.tolist()]
    np.testing.assert_array_equal(read(*texts), values)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (("1", "abc", "3"), ["numbers", "row 1: 'abc'", "categorical"]),
        ((*map(str, range(50)), "O.5"), ["row 50: 'O.5'"]),
        (tuple(map(str, range(500))) + tuple(f"x{i}" for i in range(40)), ["row 500: 'x0'", "37 more"]),
        (("2020-01-01", "2020-02-30", "2020-03-01"), ["dates", "row 1: '2020-02-30'"]),
        (("2020-01-01", "soon", "2020-03-01"), ["dates", "row 1: 'soon'"]),
        (("1,5", "2,5"), ["commas", "row 0: '1,5'"]),
        (("1,234.5", "200"), ["commas", "row 0: '1,234.5'"]),
    ],
)
def test_slips_are_told(cells: tuple[str, ...], words: list[str]):
    with pytest.raises(DataError) as caught:
        read(*cells)
    for word in ["t.csv: variable 'x'", *words]:
        assert word in str(caught.value)
    assert read(*cells, levels=()).dtype == object


@pytest.mark.parametrize(
    ("known", "fitting", "distinct", "slips"),
    [
        (3, 2, 2, True),
        (100, 95, 95, True),
        (100, 94, 5, False),
        (10_000, 9_990, 2_000, True),
        (13_504, 13_481, 4, False),  # four codes and the label `other`
        (200, 197, 4, False),
        (10_000, 9_500, 2_000, True),
        (10_000, 5_000, 2_000, False),
        (10, 0, 0, False),
    ],
)
def test_which_columns_are_numbers_with_slips(known: int, fitting: int, distinct: int, slips: bool):
    assert misfits(known, fitting, distinct) == slips
