"""The audit accuses strategies that are wrong, and leaves those alone that are right."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import genprob
from genprob.errors import UsageError
from genprob.query import planner as planning
from genprob.query.audit import Audit
from genprob.query.batch import POINT
from genprob.query.strategies.closed_form import ClosedForm
from genprob.query.strategies.importance import Importance
from genprob.query.strategy import Offer
from genprob.spec import StrategySpec


@pytest.fixture(scope="module")
def joint():
    """Two far modes in (x, y), a label that knows the mode half of the time, a positive and a rounded column."""
    rng = np.random.default_rng(0)
    n = 600
    mode = rng.integers(2, size=n)
    base = rng.normal(size=n)
    label = np.where(rng.random(n) < 0.5, mode, rng.integers(2, size=n))
    data = {
        "x": base + 0.3 * rng.normal(size=n),
        "y": np.where(mode == 1, 3.0, -3.0) + base + 0.2 * rng.normal(size=n),
        "g": np.array(["a", "b"])[label],
        "p": np.exp(0.5 * base + 0.5 * rng.normal(size=n)),
        "c": np.round(base + rng.normal(size=n), 1),
    }
    return genprob.fit(data, components=2, seed=0, schema={"p": "positive"})


class Wrong(ClosedForm):
    """Answers from the exact conditional, then spoils it."""

    name = "wrong"

    def offer(self, joint, queries):
        return [Offer("consistent", "joint", "draws", 1.0, "it says so")] * len(queries)

    def answer(self, joint, queries, draws, budget):
        strategy = Importance()
        return self.spoil(joint, queries, strategy.answer(joint, queries, draws, budget))

    def spoil(self, joint, queries, answers):
        return answers


class MissedMode(Wrong):
    """Throws the draws of one mode away, as a proposal that never visits it would."""

    def spoil(self, joint, queries, answers):
        y = queries.schema.slices["y"].start
        for q in range(len(queries)):
            if queries.kind[q, y] == POINT:
                continue
            rows = answers.values[q, 0]
            kept = rows[rows[:, y] > 0]
            if len(kept):
                answers.values[q, 0] = kept[np.arange(len(rows)) % len(kept)]
        return answers


class Stuck(Wrong):
    """A chain that does not move."""

    def spoil(self, joint, queries, answers):
        answers.values[:] = answers.values[:, :, :1]
        return answers


class DroppedJacobian(Wrong):
    """Weights its draws of the positive column by the Jacobian it forgot."""

    def spoil(self, joint, queries, answers):
        p = queries.schema.slices["p"].start
        rng = np.random.default_rng(0)
        for q in range(len(queries)):
            rows = answers.values[q, 0]
            weight = rows[:, p] / rows[:, p].sum()
            answers.values[q, 0] = rows[rng.choice(len(rows), len(rows), p=weight)]
        return answers


class IgnoresEvidence(Wrong):
    """Draws from the prior, whatever it is told."""

    def spoil(self, joint, queries, answers):
        n, _, draws, width = answers.values.shape
        return replace_values(answers, joint.model.draw(n * draws).reshape(n, 1, draws, width))


class WrongEvidence(Wrong):
    """Right draws, evidence off by a factor of two."""

    def spoil(self, joint, queries, answers):
        answers.log_evidence = answers.log_evidence + np.log(2)
        return answers


class Overconfident(Wrong):
    """Pulls its draws half-way to their mean."""

    def spoil(self, joint, queries, answers):
        reals = [queries.schema.slices[n].start for n in ("x", "y", "p")]
        part = answers.values[..., reals]
        answers.values[..., reals] = (part + part.mean(2, keepdims=True)) / 2
        return answers


def replace_values(answers, values):
    answers.values = values
    return answers


@pytest.fixture
def using(monkeypatch):
    """Puts one strategy in the place of all that are installed."""

    def put(strategy):
        spec = StrategySpec(strategy.name, "genprob.query.strategies.closed_form:ClosedForm", "a test's own")
        monkeypatch.setattr(planning.plugins, "specs", lambda kind: ((spec, "tests"),))
        monkeypatch.setattr(planning.plugins, "find", lambda kind, name: spec)
        monkeypatch.setattr(planning.plugins, "resolve", lambda factory: lambda: strategy)

    return put


def audited(joint, **options):
    options = {"queries": 200, "kinds": ("ranges",), "shares": (0.5,)} | options
    fresh = genprob.Joint(joint.schema, joint.model, run=None, reference=joint.reference, rows=joint.rows)
    return fresh, fresh.audit(resume=False, **options)


@pytest.mark.parametrize("wrong", [MissedMode, Stuck, DroppedJacobian, IgnoresEvidence, WrongEvidence, Overconfident])
def test_a_wrong_strategy_is_accused(joint, using, wrong):
    using(wrong())
    judged, cells = audited(joint, queries=400)
    assert set(cells["verdict"].values) == {"fail"}
    answer = judged.query(targets=["y"], given={"x": genprob.Within(-0.5, 0.5)}, draws=50)
    assert answer.attrs["computation"] == "ok"  # its own diagnostics see nothing
    assert answer.attrs["calibration"] == "fail"
    assert answer.attrs["reliable"] == 0
    assert "the audit fails wrong on ranges" in answer.attrs["reasons"]


def test_k_hat_passes_the_missed_mode_that_the_audit_sees(joint, using):
    using(MissedMode())
    judged, _ = audited(joint)
    answer = judged.query(targets=["y"], given={"x": 0.1}, draws=200)
    assert not answer.attrs["khat"] > 0.7
    assert answer.attrs["ess"] > 400
    assert (answer["posterior"]["y"].values > 0).all()


def test_the_right_strategies_are_not_accused(joint):
    judged, cells = audited(joint, kinds=("points", "ranges", "noisy"), shares=(0.3, 0.6))
    assert "fail" not in set(cells["verdict"].values)
    assert {"closed-form", "importance"} <= set(cells["strategy"].values)
    answer = judged.query(targets=["y"], given={"x": 0.1}, draws=50)
    assert (answer.attrs["calibration"], answer.attrs["reliable"]) == ("ok", 1)


@pytest.mark.slow
def test_false_alarms_come_at_their_nominal_rate():
    rng = np.random.default_rng(0)
    data = {"x": rng.normal(size=200), "y": rng.normal(size=200), "g": rng.choice(["a", "b"], size=200)}
    joint = genprob.fit(data, components=1)
    alarms = 0
    for seed in range(200):
        _, cells = audited(joint, queries=60, kinds=("points",), seed=seed)
        alarms += int((cells["verdict"] == "fail").sum())
    assert alarms <= 7  # 200 audits at level .01: more than 7 has probability below .001


def test_an_audit_is_kept_resumed_and_looked_up_after_loading(joint, tmp_path):
    run = tmp_path / "run"
    rng = np.random.default_rng(1)
    data = {"x": rng.normal(size=80), "y": rng.normal(size=80)}
    method = {"name": "em", "tolerance": 0.0}
    kept = genprob.fit(data, components=1, out=run, inference=method, steps=3)
    assert kept.query(targets=["y"], given={"x": 0.3}, draws=20).attrs["calibration"] == "unknown"
    events = []
    first = kept.audit(queries=60, kinds=("points",), shares=(0.5,), progress=events.append)
    assert [e["step"] for e in events] == [1]
    again = genprob.load(run)
    assert again.query(targets=["y"], given={"x": 0.3}, draws=20).attrs["calibration"] == "ok"
    second = again.audit(queries=60, kinds=("points",), shares=(0.5, 0.4))
    assert second.sizes["cell"] == first.sizes["cell"] + 1
    assert float(second["p"][0]) == float(first["p"][0])
    assert isinstance(genprob.load(run).calibration, Audit)
    further = genprob.fit(data, components=1, out=run, resume=True, steps=6, inference=method)
    assert further.calibration is None  # another answer, which nobody has audited


def test_held_out_rows_show_the_model_error_apart_from_the_computation(joint):
    rng = np.random.default_rng(4)
    n = 800
    data = {"x": rng.exponential(size=n) ** 2, "y": rng.exponential(size=n) ** 2}  # far from any Gaussian
    poor = genprob.fit(data, components=1, schema={"x": "real", "y": "real"})
    cells = poor.audit(queries=300, kinds=("points",), shares=(0.5,), data=data)
    verdict = dict(zip(cells["source"].values, cells["verdict"].values, strict=True))
    assert verdict == {"planted": "ok", "held_out": "fail"}


def test_twins_test_one_answer(joint, using):
    fine = joint.query(targets=["y"], given={"x": genprob.Within(-0.5, 0.5), "p": 1.2}, draws=50, audit=True)
    assert fine.attrs["calibration"] == "ok"
    using(MissedMode())
    caught = joint.query(targets=["y"], given={"x": genprob.Within(-0.5, 0.5), "p": 1.2}, draws=50, audit=True)
    assert caught.attrs["calibration"] == "fail"
    assert "planted truths like this one refute it" in caught.attrs["reasons"]


def test_twins_are_too_few_far_from_the_joint(joint):
    answer = joint.query(targets=["y"], given={"x": genprob.Within(40, 41)}, draws=50, audit=True)
    assert answer.attrs["calibration"] == "unknown"
    assert "too few rows like this one" in answer.attrs["reasons"]


@pytest.mark.parametrize(
    ("options", "words"),
    [({"kinds": ("guesses",)}, "not one of"), ({"shares": (1.0,)}, "between 0 and 1"), ({"queries": 3}, "40")],
)
def test_what_cannot_be_audited_is_said(joint, options, words):
    with pytest.raises(UsageError, match=words):
        audited(joint, **options)


def test_the_callers_random_numbers_stay(joint):
    before = torch.get_rng_state()
    audited(joint, queries=40)
    assert torch.equal(before, torch.get_rng_state())


def test_a_cell_survives_its_file(joint):
    _, cells = audited(joint, queries=60)
    back = Audit.from_dataset(cells).dataset()
    assert back.identical(cells.drop_attrs().assign_attrs(back.attrs))
    assert replace(Audit.from_dataset(cells).cells[0], strategy="z").verdict in ("ok", "fail", "unknown")
