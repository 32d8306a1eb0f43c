"""What every reference joint must be: one law, whatever of it is asked.

By induction: the density of whole rows is checked beside each joint against other code; leaving a cell out must be a
sum or an integral over it; every other kind of evidence must be a weighted one; draws must have uniform ranks.
"""

import numpy as np
import pytest
import torch
from scipy import stats

from genprob.errors import UsageError
from genprob.query.batch import NOTHING, POINT, QueryBatch
from genprob.query.evidence import as_evidence
from genprob.testing import references
from genprob.testing.joints.tree import benchmark_hmm

LINES = {name: r for name, r in references().items() if name not in ("two-moons", "hmm", "rbm-array")}
LINES["hmm"] = benchmark_hmm(3)
NEAR = {"tree": 1e-7, "hmm": 1e-7}


@pytest.mark.parametrize("name", LINES)
def test_a_hole_is_an_integral_over_it(name, truth):
    reference, rng = LINES[name], np.random.default_rng(1)
    row = reference.sample(1, 5)
    order = rng.permutation(reference.schema.width)[:5]
    for j in order:
        query = QueryBatch.from_values(reference.schema, row)
        hole = row.copy()
        hole[0, j] = np.nan
        draws = reference.conditional(hole, 500, 2)[:, j]
        total = truth.log_sum_of_points(reference, truth.forget(query, j), int(j), draws)
        assert reference.log_prob(hole)[0] == pytest.approx(total, abs=NEAR.get(name, 1e-8)), j
        row = hole


@pytest.mark.parametrize("name", LINES)
def test_every_kind_of_evidence_is_a_sum_over_points(name, truth):
    reference, rng = LINES[name], np.random.default_rng(2)
    missing = {(v.name, kind) for v in reference.schema for kind in reference.kinds(v.name)}
    for trial in range(80):
        query, given = truth.random_query(reference, rng, readings=9)
        tried = {(n, type(as_evidence(value))) for n, value in given.items()}
        if trial >= 10 and not tried & missing:
            continue
        missing -= tried
        draws = reference.conditional(query, 400, 1)
        found = reference.log_evidence(query)[0]
        for j in np.flatnonzero(query.kind[0] != POINT):
            total = truth.log_sum_of_points(reference, query, int(j), draws[:, j])
            assert found == pytest.approx(total, abs=NEAR.get(name, 1e-7)), (given, j)
    assert not missing, "some kind of evidence was never tried"


@pytest.mark.parametrize("name", LINES)
def test_draws_have_uniform_ranks(name, truth):
    reference, rng = LINES[name], np.random.default_rng(3)
    pooled = []
    costly = name in ("hmm", "tree", "rbm", "circuit")
    for trial in range(3 if costly else 6):
        query, given = truth.random_query(reference, rng)
        draws = reference.conditional(query, 150 if costly else 300, trial)
        for j, u in truth.ranks(reference, query, draws, rng).items():
            assert stats.kstest(u, "uniform").pvalue > 1e-5, (given, reference.schema.columns[j].name)
            pooled.append(u)
        known = query.kind[0] == POINT
        cells = [v.cell for v in reference.schema.columns]
        at = [a if c is None else c.snap(a) for a, c in zip(query.a[0], cells, strict=True)]
        assert (draws[:, known] == np.array(at)[known]).all()
    assert stats.kstest(np.concatenate(pooled), "uniform").pvalue > 1e-4


@pytest.mark.parametrize("name", references())
def test_whole_rows_of_the_joint_are_its_own_law(name, truth):
    """Entropy two ways: the mean log-density of draws against that of rows scored cell after cell."""
    reference = references()[name]
    rows = reference.sample(300, 7)
    again = reference.sample(300, 7)
    assert (rows == again).all()
    assert (reference.sample(300, 8) != rows).any()
    for variable in reference.schema:
        cells = rows[:, reference.schema.slices[variable.name]]
        assert variable.support.contains(cells).all(), variable.name
    whole, total = reference.log_prob(rows), np.zeros(len(rows))
    assert np.isfinite(whole).all()
    for j in range(reference.schema.width):
        upto, before = rows.copy(), rows.copy()
        upto[:, j + 1 :] = before[:, j:] = np.nan
        total += reference.log_prob(upto) - reference.log_prob(before)
    np.testing.assert_allclose(whole, total, atol=1e-9)
    empty = np.full((1, reference.schema.width), np.nan)
    assert reference.log_prob(empty)[0] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("name", references())
def test_a_batch_answers_as_each_query_alone(name):
    reference, rng = references()[name], np.random.default_rng(4)
    rows = reference.sample(12, 3)
    rows[rng.random(rows.shape) < 0.5] = np.nan
    batch = QueryBatch.from_values(reference.schema, rows)
    together = reference.log_evidence(batch)
    alone = [reference.log_evidence(batch.take(slice(q, q + 1)))[0] for q in range(len(batch))]
    np.testing.assert_allclose(together, alone, atol=1e-9)
    draws = reference.conditionals(batch, 7, 1)
    assert draws.shape == (12, 7, reference.schema.width)
    assert not np.isnan(draws).any()
    known = ~np.isnan(rows)
    cells = np.array([v.cell is not None for v in reference.schema.columns])
    same = known & ~cells
    assert (draws.transpose(1, 0, 2)[:, same] == rows[same]).all()
    assert (reference.conditionals(batch, 7, 1) == draws).all()


@pytest.mark.parametrize("name", references())
def test_marginals_agree_with_draws(name):
    reference = references()[name]
    row = reference.sample(1, 11)
    row[0, :: 2 if reference.schema.width > 1 else 1] = np.nan
    query = QueryBatch.from_values(reference.schema, row)
    for name_, marginal in reference.marginals(query, query.targets, 1).items():
        columns = reference.schema.slices[name_]
        variable = reference.schema[name_]
        x = reference.conditionals(query, 2000, 2)[0, :, columns].reshape(2000, *variable.shape)
        if marginal.pmf is not None:
            for level in range(variable.cardinality):
                p = marginal.pmf[0, ..., level]
                error = np.sqrt(np.maximum(p * (1 - p), 1e-12) / 2000 + marginal.pmf_mcse[0, ..., level] ** 2)
                assert (np.abs((x == level).mean(0) - p) < 5 * error + 1e-9).all()
        if variable.support.kind != "categorical":
            error = np.hypot(marginal.sd[0] / np.sqrt(2000), marginal.mcse[0])
            assert (np.abs(x.mean(0) - marginal.mean[0]) <= 5 * error + 1e-9).all(), name_
            if not variable.discrete and variable.cell is None:
                below = (x <= marginal.quantiles[0, 3]).mean()
                assert below == pytest.approx(0.5, abs=0.07)


def test_cdf_and_pmf():
    reference = references()["circuit"]
    query = QueryBatch.from_evidence(reference.schema, [{"x": 0.4}, {"g": "a", "f": 1}])
    draws = reference.conditionals(query, 20_000, 0)
    at = np.array([0.5, 1.0, 3.0])
    column = reference.schema.slices["p"].start
    np.testing.assert_allclose(
        reference.cdf(query, "p", at), (draws[:, :, column, None] <= at).mean(1), atol=4 * 0.5 / np.sqrt(20_000)
    )
    column = reference.schema.slices["g"].start
    pmf = reference.pmf(query.take(slice(0, 1)), "g")
    assert pmf.sum() == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(pmf[0], [(draws[0, :, column] == k).mean() for k in range(3)], atol=0.015)


def test_what_has_no_exact_answer_is_refused():
    from genprob import Soft, Within

    gaussian, student = references()["gaussian"], references()["student"]
    two = QueryBatch.from_evidence(gaussian.schema, [{"x1": 0.3}, {"x1": Within(0, 1), "x3": Within(-2, 0)}])
    assert gaussian.inexact(two)[0] == ""
    assert "'x1' and 'x3'" in gaussian.inexact(two)[1]
    with pytest.raises(UsageError, match="query 1: intervals of 'x1' and 'x3'"):
        gaussian.log_evidence(two)
    reading = QueryBatch.from_evidence(student.schema, [{"x2": Soft(0.0, sd=1.0)}])
    with pytest.raises(UsageError, match="Soft on 'x2'"):
        student.conditional(reading, 5)
    with pytest.raises(UsageError, match="one query, not 2"):
        gaussian.conditional(two, 5)
    with pytest.raises(UsageError, match="array"):
        references()["rbm-array"].cdf(QueryBatch.empty(references()["rbm-array"].schema, 1), "v", [0.0])


def test_impossible_evidence_is_said_to_be():
    clinic = references()["chest-clinic"]
    query = QueryBatch.from_evidence(clinic.schema, [{"tuberculosis": 1, "either": 0}, {"smoking": 1}])
    assert clinic.log_evidence(query)[0] == -np.inf
    draws = clinic.conditionals(query, 5)
    assert np.isnan(draws[0]).all()
    assert not np.isnan(draws[1]).any()
    assert (query.kind[1] != NOTHING).sum() == 1


@pytest.mark.parametrize("name", sorted(references()))
def test_the_density_of_complete_rows_is_the_evidence_of_points(name):
    reference = references()[name]
    rows = reference.sample(40, seed=5)
    found = reference.log_joint(torch.as_tensor(rows)[None])[0] - reference.log_partition
    np.testing.assert_allclose(found, reference.log_prob(rows), rtol=1e-5, atol=1e-5)
