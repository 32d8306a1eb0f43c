"""What the cost of disagreement does to a fit."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import genprob
from genprob.data.table import Table
from genprob.errors import UsageError
from genprob.query.batch import QueryBatch
from genprob.query.orders import given_points, score_points
from genprob.testing import references
from genprob_autoregressive.consistency import disagreement


def test_the_cost_is_what_two_orders_of_a_pair_differ_by(shaken, mixed):
    table = {name: mixed[name] for name in ("x", "g")}
    joint = shaken(table, noise=0.3)
    batch = joint.reference.take(torch.arange(0, 256, 4))  # every row is looked at by itself
    values = batch.values
    nothing = torch.zeros_like(batch.observed)
    gap = torch.zeros(len(values), dtype=torch.float64)
    for sign, (a, b) in ((1, (0, 1)), (-1, (1, 0))):
        one = nothing.clone()
        one[:, a] = True
        gap += sign * joint.model.contexts(values, nothing).law(a).log_prob(values[:, a])
        gap += sign * joint.model.contexts(values, one).law(b).log_prob(values[:, b])
    expected = torch.where(gap.abs() < 1, gap.square(), 2 * gap.abs() - 1)
    whole = joint.reference
    found = disagreement(joint.model, whole, 0).detach()
    assert len(whole) == 256 and expected.mean() > 0.01
    assert float(found) == pytest.approx(float(expected.mean()), rel=1e-3)


def test_cells_that_are_holes_are_no_pair(shaken, mixed):
    joint = shaken({name: mixed[name] for name in ("x", "g")})
    whole = joint.reference
    blank = whole.observed.clone()
    blank[:, 0] = False
    assert float(disagreement(joint.model, replace(whole, observed=blank), 0).detach()) == 0


def test_it_lowers_the_disagreement_of_orders():
    reference = references()["gaussian-mixture"]
    train = Table(reference.schema, reference.sample(600, seed=0)).to_dataset()
    queries = QueryBatch.from_values(reference.schema, reference.sample(200, seed=50))
    spread, away = [], []
    for consistency in (0.0, 1.0):
        joint = genprob.fit(
            train, model="anyorder", schema=reference.schema, steps=100, hidden=24, blocks=1, consistency=consistency,
        )  # fmt: skip
        with torch.no_grad():
            scored = score_points(joint.model, *given_points(queries, joint.model), 6)
        spread.append(scored.disagreement["order_disagreement"].mean())
        away.append(np.mean(reference.log_evidence(queries) - scored.evidence.value))
    assert spread[1] < 0.7 * spread[0]
    assert away[1] < away[0] + 0.3  # and is not bought by saying nothing


def test_a_negative_weight_is_refused(shaken, mixed):
    with pytest.raises(UsageError, match="consistency"):
        shaken(mixed, consistency=-1.0)
