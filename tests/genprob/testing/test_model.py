"""References as joints: strategies, scores and statuses run on them, and find what the reference knows."""

import numpy as np
import pytest
from scipy import stats

from genprob import Soft, Within
from genprob.errors import UsageError
from genprob.query.batch import QueryBatch
from genprob.query.capabilities import Conditions, Draws, ScoresRows
from genprob.testing import references

JOINTS = {name: reference.as_joint() for name, reference in references().items()}


@pytest.mark.parametrize("name", JOINTS)
def test_a_reference_can_be_asked_and_scored(name):
    joint, reference = JOINTS[name], references()[name]
    assert isinstance(joint.model, Conditions)
    assert isinstance(joint.model, Draws)
    assert isinstance(joint.model, ScoresRows)
    rows = joint.sample(6, seed=3)
    score = joint.log_prob(rows)
    assert score.attrs["kind"] == "exact"
    assert np.isfinite(score["log_prob"]).all()
    names = list(reference.schema.names)
    if len(names) == 1:
        return
    given = {names[1]: rows[names[1]].values[0]}
    answer = joint.query(targets=[names[0]], given=given, draws=50, seed=1)
    again = joint.query(targets=[names[0]], given=given, draws=50, seed=1)
    assert (answer["posterior"][names[0]] == again["posterior"][names[0]]).all()
    assert (answer.attrs["strategy"], answer.attrs["guarantee"]) == ("closed-form", "exact")
    alone = QueryBatch.from_evidence(reference.schema, [given])
    assert answer.attrs["log_evidence"] == pytest.approx(reference.log_evidence(alone)[0])
    assert answer.attrs["support"] in ("ok", "fail")


QUESTIONS = {
    "gaussian": {"x2": 1.5, "x4": Within(2.0, 5.0), "x1": Soft(0.5, sd=1.0)},
    "gaussian-mixture": {"x1": Within(-1.0, None), "x2": Soft(0.5, sd=0.5)},
    "student": {"x1": 0.4, "x2": Within(0.0, 3.0)},
    "copula": {"lognormal": Within(1.0, 4.0), "beta": 0.4},
    "circuit": {"x": Within(-1.0, 1.0), "n": 3, "p": Soft(1.5, sd=0.5)},
    "chest-clinic": {"dyspnoea": Soft({"0": 0.2, "1": 0.9}), "smoking": 1},
    "tree": {"x2": Within(0.2, 0.9), "x4": 0.5},
    "hmm": {"x3": Within(1.0, 3.0), "theta0": 0.2},
}


@pytest.mark.parametrize("strategy", ["closed-form", "importance", "rejection"])
@pytest.mark.parametrize("name", QUESTIONS)
def test_strategies_find_what_the_reference_knows(name, strategy):
    joint, reference, given = JOINTS[name], references()[name], QUESTIONS[name]
    target = next(v.name for v in reference.schema if v.name not in given and v.support.kind != "categorical")
    answer = joint.query(targets=[target], given=given, draws=1500, seed=2, strategy=strategy)
    query = QueryBatch.from_evidence(reference.schema, [given], [target])
    exact = reference.log_evidence(query)[0]
    error = answer.attrs["log_evidence_se"] if strategy != "closed-form" else 0.0
    assert answer.attrs["log_evidence"] == pytest.approx(exact, abs=5 * error + 1e-9)
    truth = reference.conditional(query, 6000, 9)[:, reference.schema.slices[target].start]
    draws = answer["posterior"][target].values.reshape(-1).astype(float)
    worth = min(len(draws), answer.attrs["ess"])
    apart = stats.ks_2samp(draws, truth).statistic
    assert apart < 2.3 * np.sqrt(1 / worth + 1 / len(truth))


def test_what_the_reference_cannot_it_proposes():
    """Two intervals: one exactly, the other by weight; the evidence is estimated without bias."""
    given = {"x1": Within(-0.5, 1.0), "x3": Within(-1.0, 0.5), "x4": 2.0}
    joint, reference = JOINTS["gaussian"], references()["gaussian"]
    assert joint.explain(["x2"], given).chosen == "importance"
    query = QueryBatch.from_evidence(reference.schema, [given])
    mean, covariance = conditional(reference, [0, 2], {3: 2.0})
    box = stats.multivariate_normal(mean, covariance, seed=1)
    mass = box.cdf([1.0, 0.5], lower_limit=[-0.5, -1.0])
    density = stats.norm.pdf(2.0, reference.mean[0, 3], np.sqrt(reference.covariance[0, 3, 3]))
    weights = [joint.model.propose(query, 4000).log_weight.exp().sum().item() for _ in range(20)]
    error = np.std(weights) / np.sqrt(20)
    assert np.mean(weights) == pytest.approx(mass * density, abs=4 * error)
    assert error < 0.02 * mass * density


def conditional(reference, columns, known):
    at, values = list(known), np.array(list(known.values()))
    mean, covariance = reference.mean[0], reference.covariance[0]
    gain = covariance[np.ix_(columns, at)] @ np.linalg.inv(covariance[np.ix_(at, at)])
    left = covariance[np.ix_(columns, columns)] - gain @ covariance[np.ix_(at, columns)]
    return mean[columns] + gain @ (values - mean[at]), left


def test_batches_with_holes():
    joint = JOINTS["circuit"]
    rows = joint.sample(30, seed=4).to_dataframe().reset_index(drop=True).astype(object)
    hide = np.random.default_rng(1).random(rows.shape) < 0.4
    hide[0] = False
    answer = joint.query(rows=rows.mask(hide, None), draws=20, seed=0)
    assert answer.sizes.get("query", answer["posterior"].sizes["query"]) == 30
    assert (answer["sample_stats"]["support"] == "ok").mean() > 0.8


def test_impossible_evidence_is_the_user_s_mistake():
    with pytest.raises(UsageError, match="probability zero"):
        JOINTS["chest-clinic"].query(targets=["smoking"], given={"tuberculosis": 1, "either": 0})


def test_evidence_from_beyond_a_grid_is_refused_with_a_reason():
    explanation = JOINTS["hmm"].explain(["x1"], {"x0": 500.0})
    closed = next(word for word in explanation.offers if word.strategy == "closed-form")
    assert not closed.offered
    assert "beyond the grid" in closed.reason


def test_conditional_scores_are_differences():
    joint, reference = JOINTS["student"], references()["student"]
    rows = joint.sample(5, seed=1)
    given = joint.conditional_log_prob(rows, given=["x1"])["log_prob"].values
    values = np.column_stack([rows[n].values for n in reference.schema.names])
    part = np.where([True, False, False], values, np.nan)
    np.testing.assert_allclose(given, reference.log_prob(values) - reference.log_prob(part), atol=1e-12)
