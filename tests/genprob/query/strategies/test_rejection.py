"""Rejection: on a model that can only be sampled, and evidence that is put in beforehand."""

import numpy as np
import pytest
import torch
from scipy import stats

from genprob import OneOf, Soft, Within
from genprob.data.batch import Batch
from genprob.data.measure import Cell
from genprob.data.schema import Schema, Variable
from genprob.data.support import Count, Real
from genprob.joint import Joint
from genprob.model import Model

SHARES = {"a": 0.5, "b": 0.3, "c": 0.2}


def normal(lo, hi):
    return stats.norm.cdf(hi) - stats.norm.cdf(lo)


CASES = [
    ({"x": Within(0.5, 1.5)}, normal(0.5, 1.5)),
    ({"c": 1.0}, normal(0.75, 1.25)),
    ({"c": Within(0.5 + 1e-13, 1.0)}, normal(0.25, 1.25)),
    ({"c": OneOf(-1, 0.5)}, normal(-1.25, -0.75) + normal(0.25, 0.75)),
    ({"g": "b"}, 0.3),
    ({"g": OneOf("b", "c")}, 0.5),
    ({"g": Soft({"a": 2.0, "c": 5.0})}, 0.5 * 2 + 0.2 * 5),
    ({"n": 3}, stats.poisson.pmf(3, 4)),
    ({"n": OneOf(2, 6)}, stats.poisson.pmf([2, 6], 4).sum()),
    ({"n": Within(5, None)}, stats.poisson.sf(4, 4)),
    ({"x": Soft(0.8, sd=0.5)}, stats.norm.pdf(0.8, 0, np.hypot(1, 0.5))),
    ({"n": Soft(3.5, sd=1.0)}, stats.poisson.pmf(np.arange(40), 4) @ stats.norm.pdf(3.5, np.arange(40), 1.0)),
    ({"x": Soft(0.0, sd=1.0), "g": Soft({"a": 0.01}), "n": Within(2, 6)},
     stats.norm.pdf(0, 0, np.sqrt(2)) * 0.005 * stats.poisson.pmf(np.arange(2, 7), 4).sum()),
]  # fmt: skip


@pytest.mark.parametrize("given, evidence", CASES, ids=lambda v: str(v)[:40])
def test_evidence_is_estimated_within_its_error(sampler, given, evidence):
    target = next(n for n in ("x", "g", "n", "c") if n not in given)
    answer = sampler.query([target], given, draws=1000)
    error = float(answer.attrs["log_evidence_se"])
    assert 0 < error < 0.1
    assert abs(answer.attrs["log_evidence"] - np.log(evidence)) < 4 * error
    assert answer.attrs["computation"] == "ok" and answer.attrs["ess"] == 1000


def test_draws_meet_the_evidence_and_nothing_else_changes(sampler):
    answer = sampler.query(["x", "n"], {"c": OneOf(0.5, 1.0), "g": "c"}, draws=2000)
    x, n = (answer["posterior"][k].values.ravel() for k in ("x", "n"))
    assert ((x > 0.24) & (x < 1.26)).all() and len(np.unique(x)) == 2000
    law = stats.truncnorm(0.25, 1.25)
    assert stats.kstest(x, law.cdf).pvalue > 1e-3
    assert n.mean() == pytest.approx(4, abs=0.2)
    mean, mcse = (float(answer["marginals"][f"x_{key}"]) for key in ("mean", "mcse"))
    assert abs(mean - law.mean()) < 4 * mcse and mcse == pytest.approx(law.std() / np.sqrt(2000), rel=0.15)


def test_cells_near_a_large_value_are_told_apart():
    class Large(Model):
        precision = torch.float64

        def draw(self, draws):
            step = np.random.default_rng(0).integers(0, 4, draws)
            return np.stack([(1_000_000 + step) / 100, 1e6 + step], 1)

    schema = Schema((Variable("c", Real(), Cell(0.01)), Variable("n", Count())))
    rows = torch.as_tensor(Large(schema).draw(30))
    batch = Batch(schema, rows, torch.ones_like(rows, dtype=torch.bool), torch.arange(30), 30)
    joint = Joint(schema, Large(schema), run=None, reference=batch, rows=30)
    answer = joint.query(["n"], {"c": OneOf(10_000.01, 10_000.03)}, draws=500)
    assert set(np.unique(answer["posterior"]["n"])) == {1_000_001, 1_000_003}
    answer = joint.query(["c"], {"n": OneOf(1_000_002)}, draws=500)
    assert set(np.unique(answer["posterior"]["c"])) == {10_000.02}


def test_errors_of_a_batch_are_those_of_each_query_alone(sampler):
    rows = [{"c": Within(None, 0)}, {"c": Within(2.5, None)}]
    answer = sampler.query(["x"], rows=rows, budget=20_000, draws=1000)
    sd, mcse = (answer["marginals"][f"x_{key}"].values for key in ("sd", "mcse"))
    kept = answer["sample_stats"]["ess"].values
    assert kept[1] < 500 and kept[0] == 1000
    assert mcse[1] == pytest.approx(sd[1] / np.sqrt(kept[1]), rel=1e-6)


def test_points_and_levels_are_put_in_where_the_model_conditions(joint):
    """A point on a true real is no event of positive probability, yet its density is exact."""
    given = {"x": 1.0, "g": "b", "n": Within(1, 4)}
    exact = joint.query(["u"], given, draws=10)
    answer = joint.query(["u"], given, draws=500, strategy="rejection")
    assert answer.attrs["log_evidence"] == pytest.approx(exact.attrs["log_evidence"], abs=1e-9)
    assert answer.attrs["log_evidence_se"] == 0


def test_a_point_of_a_true_real_is_refused_by_name_and_a_rounded_one_is_not(sampler):
    said = {name: sampler.explain(["g"], {name: 1.0}) for name in ("x", "c")}
    words = {name: next(w for w in said[name].offers if w.strategy == "rejection") for name in said}
    assert not words["x"].offered and words["x"].reason == "'x' is given to a point, which no draw ever meets"
    assert words["c"].offered
