import numpy as np
import xarray as xr

from genprob.data.origin import Origin, of_dataset


def test_rows_by_position_label_and_line():
    ds = xr.Dataset({"x": ("row", np.zeros(3))})
    assert of_dataset(ds, "row").row(2) == "row 2"
    assert of_dataset(ds.assign_coords(row=["a", "b", "c"]), "row").row(2) == "row 'c'"
    assert of_dataset(ds.assign_attrs(first_line=2, source="t.csv"), "row").row(2) == "row 2 (line 4)"
    assert of_dataset(ds.assign_attrs(source="t.csv"), "row").source == "t.csv"
    assert of_dataset(ds, "row", "here").source == "here"


def test_cells():
    values = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert Origin("f").cells(values > 1, values) == "row 0 at [1]: 2, row 1 at [0]: 3, row 1 at [1]: 4"
    assert Origin("f").cells(np.ones(5, bool), np.array(list("abcde"))).endswith("row 2: 'c' and 2 more")
