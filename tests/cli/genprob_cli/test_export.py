from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import genprob
from genprob.errors import UsageError
from genprob_cli.export import check, export

TABLE = xr.Dataset(
    {"x": ("draw", [1.5, np.nan]), "n": ("draw", [1, 2]), "g": ("draw", np.array(["a", "b, c"], object))}
)


@pytest.mark.parametrize("name", ["draws.csv", "draws.parquet", "draws.nc"])
def test_a_table_comes_back(tmp_path, name):
    path = tmp_path / name
    export(TABLE, path)
    if name.endswith(".nc"):
        back = genprob.open(path).to_dataframe()
    else:
        back = pd.read_csv(path) if name.endswith(".csv") else pd.read_parquet(path)
    assert list(back.columns) == ["x", "n", "g"]
    assert back["n"].tolist() == [1, 2] and back["g"].tolist() == ["a", "b, c"]
    assert back["x"][0] == 1.5 and np.isnan(back["x"][1])


def test_arrays_need_a_file_that_holds_them(tmp_path):
    images = TABLE.assign(image=(("draw", "row", "column"), np.zeros((2, 3, 3))))
    with pytest.raises(UsageError, match="'image' hold arrays"):
        export(images, tmp_path / "draws.csv")
    assert not (tmp_path / "draws.csv").exists()
    export(images, tmp_path / "draws.nc")
    assert genprob.open(tmp_path / "draws.nc")["image"].shape == (2, 3, 3)


def test_an_unknown_format_is_refused_before_any_work(tmp_path):
    with pytest.raises(UsageError, match=r"must end in one of \.nc, \.csv, \.parquet"):
        check(tmp_path / "draws.xlsx")


def test_a_folder_that_is_not_there_is_told_before_any_work(tmp_path):
    with pytest.raises(UsageError, match="there is no folder"):
        check(tmp_path / "nowhere" / "a.csv")
