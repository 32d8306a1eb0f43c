"""Filling: holes are drawn given their row, and laws are learned of all rows where holes depend on what is seen."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import genprob
from genprob.data.batch import as_batch
from genprob.data.infer import infer_schema
from genprob.data.readers import read
from genprob.data.table import Table
from genprob_autoregressive.filling import dependence, filled


def test_holes_are_drawn_given_the_rest_of_their_row_and_nothing_else_changes(shaken, mixed):
    joint = shaken(mixed, stated={"age": "cell(1)", "visits": "count"}, members=2)
    names, rows = list(joint.schema.names), torch.zeros(4000, dtype=torch.long)
    batch = joint.reference.take(rows)
    g, x = names.index("g"), names.index("x")
    holes = torch.zeros_like(batch.observed)
    holes[:, g] = True
    holes[1000:, x] = True
    holes[-1] = True  # nothing is known of the last row
    torch.manual_seed(0)
    out = filled(joint.model, replace(batch, observed=~holes), 1)
    assert bool(out.observed[:-1].all()) and not out.observed[-1].any()
    assert torch.equal(out.values[~holes], batch.values[~holes])
    law = joint.model.contexts(batch.values[:1], ~holes[:1], torch.ones(1, dtype=torch.long)).law(g)
    share = torch.bincount(out.values[:1000, g].long(), minlength=3) / 1000
    assert torch.allclose(share.double(), law.log_p[0].exp(), atol=0.05)
    assert len(torch.unique(out.values[1000:-1, x])) > 2900


@pytest.mark.parametrize("fill", [False, True])
def test_a_variable_that_is_seen_where_another_is_low_has_the_law_of_all_rows_only_if_filled(fill):
    """Missing at random: E[y | x] is learned from the rows that know y, E[y] is not."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=2000)
    y = 0.8 * x + 0.6 * rng.normal(size=2000)
    y[x > 0] = np.nan
    schema = {"x": "real", "y": "real"}
    joint = genprob.fit({"x": x, "y": y}, "anyorder", schema=schema, steps=250, hidden=32, blocks=1, fill=fill)
    given = float(joint.query(["y"], {"x": -1.0}, draws=5)["marginals"]["y_mean"])
    assert abs(given + 0.8) < 0.15
    mean = float(joint.query(["y"], {}, draws=5)["marginals"]["y_mean"])
    assert any("holes of 'y' go with 'x'" in note for note in joint.notes) != fill
    assert abs(mean) < 0.15 if fill else mean < -0.3  # the mean of the seen is -.62


def test_holes_by_chance_are_no_reason_to_fill_and_a_label_that_decides_is_named():
    rng = np.random.default_rng(3)
    data = {"x": rng.normal(size=2000), "g": rng.choice(["a", "b", "c"], 2000), "n": rng.poisson(3, 2000)}
    data["y"] = np.where(rng.random(2000) < 0.4, np.nan, data["x"])
    schema = infer_schema(read(data))
    assert dependence(as_batch(Table.from_dataset(schema, read(data)))) == ""
    data["y"] = np.where((data["g"] == "b") & (rng.random(2000) < 0.5), np.nan, data["y"])
    assert "holes of 'y' go with 'g'" in dependence(as_batch(Table.from_dataset(schema, read(data))))
