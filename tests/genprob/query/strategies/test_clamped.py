"""Clamped chains against enumeration: evidence of every kind, diagnostics that fail where chains have not mixed."""

import numpy as np
import pytest
import torch
import xarray as xr

import genprob
from genprob.data.batch import as_batch
from genprob.data.infer import infer_schema
from genprob.data.readers import read
from genprob.data.table import Table
from genprob.joint import Joint
from genprob.query.batch import QueryBatch
from genprob.query.strategies.clamped import Clamped
from genprob.testing.tables import mixed
from genprob_energy.rbm import RBM


def joint_of(ds, *, hidden, spread, seed=0):
    ds = read(ds)
    schema = infer_schema(ds, None, None)
    batch = as_batch(Table.from_dataset(schema, ds))
    torch.manual_seed(seed)
    model = RBM(schema, hidden=hidden, temperatures=100)
    model.prepare(batch, seed=seed)
    with torch.no_grad():
        model.weight.copy_(spread * torch.randn(model.weight.shape))
    model.conclude(batch, seed=seed)
    return Joint(schema, model.eval(), run=None, reference=batch, rows=len(batch))


EVIDENCE = [
    {"x": 1.0, "age": 41.0},
    {"x": genprob.Within(0.2, 1.4), "colour": genprob.OneOf("red", "blue")},
    {"price": genprob.Soft(2.0, sd=0.3), "member": genprob.Soft({0: 0.2, 1: 0.7})},
    {"age": genprob.Soft(45.0, sd=2.0), "price": genprob.Within(None, 1.5)},
    {"age": genprob.OneOf(40.0, 47.0), "member": 1},
]


@pytest.mark.parametrize("q", range(len(EVIDENCE)))
def test_every_kind_of_evidence_gets_the_listed_conditional(q):
    joint = joint_of(mixed().drop_vars("visits"), hidden=6, spread=0.4)
    given = EVIDENCE[q]
    exact = joint.query(None, given, draws=4000, seed=1)
    found = joint.query(None, given, draws=4000, seed=2, strategy="clamped", budget=8000)
    assert exact.attrs["guarantee"] == "exact" and found.attrs["guarantee"] == "consistent"
    assert found.attrs["computation"] == "ok", found.attrs["reasons"]
    assert found["posterior"].sizes["chain"] == 8
    gap = found.attrs["log_evidence"] - exact.attrs["log_evidence"]
    assert abs(gap) < 5 * found.attrs["log_evidence_se"] + 1e-3
    for name in found["posterior"].data_vars:
        ours, theirs = found["posterior"][name].values.ravel(), exact["posterior"][name].values.ravel()
        if ours.dtype.kind in "OUT":
            for level in ("red", "green", "blue"):
                assert abs((ours == level).mean() - (theirs == level).mean()) < 0.05
        else:
            spread = theirs.std() + 1e-9
            assert abs(ours.mean() - theirs.mean()) < 0.12 * spread, name
            assert ours.std() == pytest.approx(theirs.std(), rel=0.12), name
    for name, evidence in given.items():
        if name in found["posterior"]:
            drawn = found["posterior"][name].values.ravel()
            if isinstance(evidence, genprob.Within):
                assert (drawn <= evidence.hi).all() and (evidence.lo is None or (drawn >= evidence.lo).all())
            if isinstance(evidence, genprob.OneOf):
                assert set(drawn.tolist()) <= set(evidence.values)


def test_a_batch_is_answered_query_by_query():
    joint = joint_of(mixed().drop_vars("visits"), hidden=6, spread=0.4)
    queries = QueryBatch.from_evidence(joint.schema, EVIDENCE, None)
    torch.manual_seed(0)
    with torch.no_grad():
        together = Clamped().answer(joint, queries, 800, None)
        exact = torch.logsumexp(joint.model.condition(queries).log_weight, 1).numpy()
    assert together.values.shape == (5, 8, 100, joint.schema.width)
    assert (np.abs(together.log_evidence - exact) < 5 * together.log_evidence_se + 1e-3).all()
    column = joint.schema.slices["age"].start
    assert set(np.unique(together.values[4, ..., column])) == {40.0, 47.0}


def test_chains_that_have_not_mixed_are_told():
    """Two blocks of units that agree among themselves so strongly that no chain ever crosses."""
    rng = np.random.default_rng(0)
    rows = np.repeat(rng.random((60, 1)) < 0.5, 6, 1).astype(float)
    joint = joint_of(xr.Dataset({f"v{i}": ("row", rows[:, i]) for i in range(6)}), hidden=12, spread=0.0)
    model = joint.model
    with torch.no_grad():
        model.weight.fill_(8.0)
        model.visible.fill_(0.0)
        model.offset.fill_(0.5)
        model.centre.fill_(0.5)
        model.hidden.fill_(0.0)
        model.conclude(joint.reference, seed=0)
        queries = QueryBatch.from_evidence(joint.schema, [{}], ["v0"])
        torch.manual_seed(1)
        answers = Clamped().answer(joint, queries, 100, None)
    assert "R-hat" in answers.failures[0] and answers.rhat[0] > 1.1
