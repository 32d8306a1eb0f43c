"""The planner: who offers what, who is chosen, what happens when a computation fails, and what an answer says of it."""

from dataclasses import replace

import numpy as np
import pytest

import genprob
from genprob import OneOf, Soft, Within, plugins
from genprob.errors import UnreliableError, UsageError
from genprob.query.empirical import marginals
from genprob.query.strategy import Answers, Offer, Refusal
from genprob.spec import StrategySpec


def fake(name, *, guarantee="consistent", failures=(), evidence=-1.0, error=0.01, ess=500.0, value=0.0, refuse=""):
    """A strategy that offers and answers as told; `failures[i]` is what its i-th call says of every query."""

    class Fake:
        calls: list = []  # noqa: RUF012

        def __init__(self):
            self.name = name

        def offer(self, joint, queries):
            said = Refusal(refuse) if refuse else Offer(guarantee, "joint", "draws", 1.0, "told to")
            return [said] * len(queries)

        def answer(self, joint, queries, draws, budget):
            why = failures[len(self.calls)] if len(self.calls) < len(failures) else ""
            self.calls.append((len(queries), budget))
            n = len(queries)
            values = np.full((n, 1, draws, queries.schema.width), value)
            return Answers(
                values, marginals(queries.schema, values[:, 0], queries.targets),
                np.full(n, evidence), np.full(n, error), np.full(n, ess), *np.full((2, n), np.nan), [why] * n,
            )  # fmt: skip

    return Fake


@pytest.fixture
def only(monkeypatch):
    """`only(Fake, Fake, ...)`: these are the strategies that are installed, in order of rank."""

    def install(*classes):
        for c in classes:
            c.calls = []
        byname = {c().name: c for c in classes}
        specs = [(StrategySpec(n, n, "", rank=i), "test") for i, n in enumerate(byname)]
        monkeypatch.setattr(plugins, "specs", lambda kind: specs)
        monkeypatch.setattr(plugins, "resolve", lambda factory, **_: byname[factory])

    return install


# --- offers


def test_every_strategy_speaks_and_the_best_is_chosen(joint):
    said = joint.explain(["x"], {"g": "a"})
    offered = [w for w in said.offers if w.offered]
    assert [w.strategy for w in offered] == ["closed-form", "importance", "rejection"]
    assert said.chosen == "closed-form" and [w.chosen for w in said.offers].count(True) == 1 and said.offers[0].chosen
    assert all(w.reason and w.law == "joint" for w in offered)
    assert {w.strategy for w in said.offers[3:]} >= {"clamped", "enumeration", "smc"}
    assert all(w.reason for w in said.offers)
    assert said.offers[0].guarantee == "exact" and said.offers[0].limit == ""
    assert (said.offers[1].guarantee, said.offers[1].limit) == ("consistent", "particles")
    assert str(said).splitlines()[0].startswith("* closed-form")


@pytest.mark.parametrize(
    "given, why",
    [
        ({"x": Within(0, 1), "p": Within(1, 2)}, "2 intervals or rounding cells on correlated reals"),
        ({"c": 1.0, "d": OneOf(1, 2), "x": Within(0, None)}, "3 intervals or rounding cells"),
        ({"p": Soft(1.0, sd=0.1)}, "a noisy reading of 'p' is not linear"),
        ({"c": Soft(1.0, sd=0.1)}, "a noisy reading of 'c' is not linear"),
    ],
)
def test_what_has_no_closed_form_is_refused_with_a_reason(joint, given, why):
    said = joint.explain(["g"], given)
    refused = {w.strategy: w for w in said.offers if not w.offered}
    assert "closed-form" in refused and "importance" not in refused and why in refused["closed-form"].reason
    assert said.chosen == "importance" and not said.offers[-1].offered
    assert "refuses" in str(said)
    with pytest.raises(UsageError, match=r"strategy closed-form cannot answer: .*; others may"):
        joint.query(["g"], given, strategy="closed-form")


@pytest.mark.parametrize(
    "given", [{"x": Within(0, 1)}, {"x": Soft(1.0, sd=0.1), "c": 1.0}, {"n": Within(1, 2), "g": OneOf("a")}]
)
def test_one_box_beside_anything_linear_has_a_closed_form(joint, given):
    assert joint.explain(["u"], given).chosen == "closed-form"


def test_independent_reals_have_closed_forms_for_any_number_of_intervals():
    rng = np.random.default_rng(0)
    data = {"x": rng.normal(size=200), "y": rng.normal(size=200), "z": rng.normal(size=200)}
    given = {"x": Within(0, 1), "y": Within(None, 0.5)}
    free = genprob.fit(data, components=2, covariance="diagonal", steps=5)
    coupled = genprob.fit(data, components=2, covariance="low-rank", steps=5)
    assert free.explain(["z"], given).chosen == "closed-form"
    assert coupled.explain(["z"], given).chosen == "importance"


def test_a_model_that_can_only_be_sampled_is_answered_by_rejection(sampler):
    said = sampler.explain(["x"], {"c": Within(0, 1)})
    assert said.chosen == "rejection" and sum(w.offered for w in said.offers) == 1
    nothing = sampler.explain(["g"], {"x": 0.3})
    assert nothing.chosen is None and "'x' is given to a point, which no draw ever meets" in str(nothing)
    with pytest.raises(
        UsageError, match=r"no strategy can answer \(rejection: 'x' is given.*; not made for this model: "
    ):
        sampler.query(["g"], {"x": 0.3})


def test_asking_for_one_strategy_asks_no_other(joint):
    for name in ("closed-form", "importance", "rejection"):
        answer = joint.query(["x"], {"g": "b"}, draws=300, strategy=name)
        assert answer.attrs["strategy"] == name
    with pytest.raises(UsageError, match="telepathy"):
        joint.query(["x"], {"g": "b"}, strategy="telepathy")


def test_better_guarantees_go_first_then_rank(joint, only):
    only(fake("quick", guarantee="heuristic"), fake("second"), fake("third"), fake("never", refuse="too tired"))
    said = joint.explain(["x"], {"g": "a"})
    assert [w.strategy for w in said.offers] == ["second", "third", "quick", "never"]
    assert said.chosen == "second" and said.offers[-1].reason == "too tired"


def test_without_any_offer_all_refusals_are_told(joint, only):
    only(fake("one", refuse="too tired"), fake("two", refuse="too busy"))
    with pytest.raises(UsageError, match=r"no strategy can answer \(one: too tired; two: too busy"):
        joint.query(["x"], {"g": "a"})
    with pytest.raises(UsageError, match="query 0: no strategy can answer"):
        joint.query(["x"], rows=[{"g": "a"}, {"g": "b"}])


# --- escalation


def test_a_failed_computation_gets_a_larger_budget_then_the_next_strategy(joint, only):
    first, second = fake("first", failures=("poor mixing",) * 9, value=1.0), fake("second", value=2.0)
    only(first, second)
    answer = joint.query(["x"], {"g": "a"}, draws=4)
    assert first.calls == [(1, None), (1, 8192)] and second.calls == [(1, None)]
    assert (answer.attrs["tries"], answer.attrs["strategy"], answer.attrs["computation"]) == (3, "second", "ok")
    assert (answer["posterior"]["x"].values == 2.0).all()


def test_a_larger_budget_may_be_enough(joint, only):
    first, second = fake("first", failures=("poor mixing",)), fake("second")
    only(first, second)
    answer = joint.query(["x"], {"g": "a"}, draws=4, budget=100)
    assert first.calls == [(1, 100), (1, 800)] and second.calls == []
    assert (answer.attrs["tries"], answer.attrs["strategy"], answer.attrs["computation"]) == (2, "first", "ok")


def test_a_larger_budget_is_not_tried_where_it_cannot_do(joint, only):
    """A hundredth of what is needed is not made up for by eight times the budget; a quarter is."""
    for ess, calls in ((1.0, [(1, None)]), (25.0, [(1, None), (1, 8192)])):
        first, second = fake("first", failures=("few",) * 9, ess=ess), fake("second", value=2.0)
        first.least_ess = 100.0
        only(first, second)
        answer = joint.query(["x"], {"g": "a"}, draws=4)
        assert first.calls == calls and second.calls == [(1, None)]
        assert (answer.attrs["tries"], answer.attrs["strategy"]) == (len(calls) + 1, "second")


def test_only_the_queries_that_failed_are_tried_again(joint, only):
    class Half(fake("half")):
        def answer(self, joint, queries, draws, budget):
            out = super().answer(joint, queries, draws, budget)
            out.failures[:] = ["lost" if code == 1 else "" for code in queries.a[:, 5]]
            return out

    second = fake("second", value=2.0)
    only(Half, second)
    answer = joint.query(["x"], rows=[{"g": v} for v in "abcab"], draws=3)
    stats = answer["sample_stats"]
    assert Half.calls == [(5, None), (2, 8192)] and second.calls == [(2, None)]
    assert stats["tries"].values.tolist() == [1, 3, 1, 1, 3]
    assert answer["posterior"]["x"].values[:, 0, 0].tolist() == [0, 2, 0, 0, 2]
    np.testing.assert_array_equal(answer["marginals"]["x_mean"], [0, 2, 0, 0, 2])


def test_what_fails_everywhere_is_answered_by_the_largest_sample_and_says_so(joint, only):
    only(
        fake("large", failures=("weights vary",) * 2, ess=80.0, value=1.0, evidence=-2.0),
        fake("small", failures=("few met it",) * 2, ess=3.0, value=2.0),
    )
    answer = joint.query(["x"], {"g": "a"}, draws=4)
    assert (answer.attrs["strategy"], answer.attrs["computation"], answer.attrs["reliable"]) == ("large", "fail", 0)
    assert answer.attrs["tries"] == 4 and "computation: weights vary" in answer.attrs["reasons"]
    assert (answer["posterior"]["x"].values == 1.0).all() and answer.attrs["log_evidence"] == -2.0
    assert float(answer["marginals"]["x_mean"]) == 1.0


def test_a_failed_try_that_claimed_another_evidence_is_told(joint, only):
    def reasons(evidence, error=0.01):
        first = fake("first", failures=("poor mixing",) * 2, evidence=evidence, error=error)
        only(first, fake("second", evidence=-1.0))
        return joint.query(["x"], {"g": "a"}, draws=4).attrs["reasons"]

    assert "an earlier try of first claimed a log-evidence of -1.700, this answer -1.000" in reasons(-1.7)
    assert "claimed" not in reasons(-1.02) and "claimed" not in reasons(-1.7, error=0.5)
    assert "claimed" not in reasons(np.nan)


# --- answers that cannot be given


def test_evidence_of_probability_zero_is_a_usage_error(joint):
    for given in ({"x": 1e200}, {"x": 1e200, "p": 2.0}, {"x": Within(1e170, None)}):
        with pytest.raises(UsageError, match="the evidence has probability zero under the joint; relax or drop some"):
            joint.query(["g"], given)
    with pytest.raises(UsageError, match="query 1: the evidence has probability zero"):
        joint.query(["g"], rows=[{"x": 0.0}, {"x": 1e200}])


def test_evidence_that_no_draw_meets_is_unreliable(joint, sampler):
    with pytest.raises(UnreliableError, match=r"no strategy reached the evidence .*\(0 of 2000 proposals"):
        joint.query(["g"], {"x": Within(9, 9.01)}, strategy="rejection", budget=2000)
    with pytest.raises(UnreliableError, match="query 1: no strategy reached"):
        sampler.query(["g"], rows=[{"c": 0.0}, {"c": 9.0}], budget=5000, draws=10)


def test_too_few_draws_fail_the_computation(sampler):
    answer = sampler.query(["g", "n"], {"c": Within(2.5, None)}, budget=3000, draws=500)
    assert answer.attrs["computation"] == "fail" and answer.attrs["reliable"] == 0
    assert "of 3000 proposals met the evidence; 500 draws were asked" in answer.attrs["reasons"]
    assert 0 < answer.attrs["ess"] < 100 and np.isfinite(answer["posterior"]["n"].values).all()


@pytest.mark.parametrize("given", [{"x": Within(30, 31), "p": Within(0.1, 0.2)}, {"x": Within(25, 26), "c": -30.0}])
def test_far_evidence_without_closed_form_is_never_called_reliable(joint, given):
    try:
        answer = joint.query(["g"], given, draws=10)
    except (UnreliableError, UsageError):
        return
    assert answer.attrs["reliable"] == 0 and answer.attrs["support"] == "fail"


def test_what_is_given_to_a_point_is_repeated(joint):
    rows = [{"x": 1.5, "c": 0.5}, {"g": "b", "n": 3}]
    answer = joint.query(rows=rows, draws=5)
    posterior, node = answer["posterior"], answer["marginals"]
    assert (posterior["x"].values[0] == 1.5).all() and (posterior["c"].values[0] == 0.5).all()
    assert (posterior["g"].values[1] == "b").all() and (posterior["n"].values[1] == 3).all()
    assert (node["x_mean"].values[0], node["x_sd"].values[0], node["x_mcse"].values[0]) == (1.5, 0.0, 0.0)
    assert (node["x_quantile"].isel(query=0).values == 1.5).all() and node["g_pmf"].values[1].tolist() == [0, 1, 0]
    assert np.isfinite(node["x_mean"].values[1]) and node["x_sd"].values[1] > 0


# --- chains and statistics


def chained(name, chains, *, failures=(), **stats):
    """A strategy that answers with so many chains, each draw telling its chain, and statistics of its own."""

    class Chained(fake(name, failures=failures)):
        calls: list = []  # noqa: RUF012

        def answer(self, joint, queries, draws, budget):
            out = super().answer(joint, queries, draws, budget)
            each = -(-draws // chains)
            values = np.zeros((len(queries), chains, each, queries.schema.width)) + np.arange(chains)[:, None, None]
            told = {k: np.full(len(queries), v) for k, v in stats.items()}
            return replace(out, values=values, stats=told)

    return Chained


def test_chains_stay_apart_and_statistics_are_written(joint, only, tmp_path):
    only(chained("four", 4, acceptance=0.7))
    answer = joint.query(["x"], {}, draws=10)
    assert dict(answer["posterior"]["x"].sizes) == {"chain": 4, "draw": 3}
    assert (answer["posterior"]["x"].values == np.arange(4)[:, None]).all()
    assert float(answer["sample_stats"]["acceptance"]) == 0.7
    joint.query(["x"], rows=[{}, {"b": 1}], draws=8, out=tmp_path / "a.nc")
    read = genprob.open(tmp_path / "a.nc")
    assert read["sample_stats"]["acceptance"].values.tolist() == [0.7, 0.7]
    assert dict(read["posterior"]["x"].sizes) == {"query": 2, "chain": 4, "draw": 2}


def test_different_numbers_of_chains_become_one(joint, only):
    """The second query falls through to a strategy with two chains."""
    first, second = chained("four", 4, acceptance=0.7), chained("two", 2, temperatures=3.0)
    answered = first.answer

    def choosy(self, joint, queries, draws, budget):
        out = answered(self, joint, queries, draws, budget)
        return replace(out, failures=["" if queries.kind[q].any() else "no" for q in range(len(queries))])

    first.answer = choosy
    only(first, second)
    answer = joint.query(["x"], rows=[{"b": 1}, {}], draws=9)
    assert dict(answer["posterior"]["x"].sizes) == {"query": 2, "chain": 1, "draw": 9}
    found = answer["posterior"]["x"].values[:, 0]
    assert set(found[0]) == {0, 1, 2, 3} and set(found[1]) == {0, 1}  # draws of all chains
    stats = answer["sample_stats"]
    assert stats["strategy"].values.tolist() == ["four", "two"]
    np.testing.assert_array_equal(stats["acceptance"], [0.7, np.nan])
    np.testing.assert_array_equal(stats["temperatures"], [np.nan, 3.0])
