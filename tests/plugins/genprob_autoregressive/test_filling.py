"""Filling: holes are drawn given their row, and laws are learned of all rows where holes depend on what is seen."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import genprob
from genprob_autoregressive.filling import filled


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
    assert abs(mean) < 0.15 if fill else mean < -0.3  # the mean of the seen is -.62
