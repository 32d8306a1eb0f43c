"""Every row of the reference of evidence says the same thing three times; so it must read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from genprob.data.schema import Schema, Variable
from genprob.data.support import Binary, Categorical, Count, Real
from genprob.query.evidence import Masked, OneOf, Soft, Within, as_evidence
from genprob.query.grammar import parse_given, parse_given_json

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "evidence.md"
SCHEMA = Schema(
    (
        Variable("x", Real()),
        Variable("g", Categorical(("a", "b, c"))),
        Variable("n", Count()),
        Variable("f", Binary()),
        Variable("when", Real(), unit="days since 1970-01-01"),
        Variable("image", Real(), dims=("y", "z"), shape=(1, 2)),
    )
)
ROWS = [
    [cell.strip().strip("`") for cell in line.strip("|").split("|")]
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| variable")
]


@pytest.mark.parametrize("row", ROWS, ids=[row[1] or row[2] for row in ROWS])
def test_a_row_says_one_thing(row):
    name = row[0].split("`")[1]
    if name == "image":
        read = parse_given_json(SCHEMA, {name: json.loads(row[2])})[name]
        assert isinstance(read, Masked)
        np.testing.assert_array_equal(read.mask, [[True, False]])
        return
    meant = as_evidence(eval(row[3], {"Within": Within, "OneOf": OneOf, "Soft": Soft}))
    assert parse_given_json(SCHEMA, {name: json.loads(row[2])}) == {name: meant}
    if row[1]:
        assert parse_given(SCHEMA, row[1]) == (name, meant)


def test_the_page_has_a_row_for_each_kind():
    assert len(ROWS) >= 14
