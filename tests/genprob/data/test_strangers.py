"""Columns of a source that are no variables of a joint."""

import numpy as np
import pandas as pd
import pytest

import genprob
from genprob.data.strangers import remark
from genprob.errors import DataError


@pytest.fixture(scope="module")
def joint():
    return genprob.fit({"weight": [0.5, 1.25, 0.75, 1.5], "g": ["a", "b", "a", "b"]}, components=1)


ROWS = pd.DataFrame({"weight": [1.0, np.nan], "g": [None, "b"], "id": [7, 8], "when": ["x", "y"]})


def test_columns_that_are_not_read_are_named_with_the_answer(joint, tmp_path):
    ROWS.to_csv(tmp_path / "rows.csv", index=False)
    answers = [
        joint.query(rows=ROWS, draws=5),
        joint.query(rows=tmp_path / "rows.csv", draws=5, out=tmp_path / "a.nc"),
        genprob.open(tmp_path / "a.nc"),
    ]
    for answer in answers:
        assert "columns 'id', 'when' are no variables of the joint" in answer.attrs["reasons"]
        assert answer.attrs["reliable"] == 1
    assert "not read" not in joint.query(rows=ROWS[["weight", "g"]], draws=5).attrs["reasons"]


@pytest.mark.parametrize("ask", ["query", "log_prob"])
def test_a_misspelt_column_is_no_stranger(joint, tmp_path, ask):
    """Passed over, all cells of the variable would be taken as unknown, without a word."""
    frame = ROWS.rename(columns={"weight": "Weight"})[["Weight", "g"]]
    frame.to_csv(tmp_path / "rows.csv", index=False)
    for rows in (frame, tmp_path / "rows.csv"):
        with pytest.raises(DataError, match="no variable 'weight', but a column 'Weight'"):
            joint.query(rows=rows) if ask == "query" else joint.log_prob(rows)


@pytest.mark.parametrize(
    ("count", "ends"), [(0, ""), (1, "was not read"), (9, "and 4 more are no variables of the joint and were not read")]
)
def test_many_are_counted(count, ends):
    text = remark([f"c{k}" for k in range(count)])
    assert text.endswith(ends) and bool(text) == bool(count)
