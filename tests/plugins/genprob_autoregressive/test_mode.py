"""The mode of several targets: near the best of all states, whatever is known; surprise says what it rests on."""

import importlib
import itertools

import numpy as np
import pytest

import genprob
from genprob.query.batch import QueryBatch

module = importlib.import_module("genprob.questions.mode")


@pytest.fixture(scope="module")
def joint(shaken, mixed):
    table = {name: mixed[name] for name in ("member", "g", "visits", "x")}
    return shaken(
        table | {"visits": np.minimum(table["visits"], 4)}, stated={"visits": "count"}, orders=24, noise=0.5
    )  # fmt: skip


def best(joint, given):
    """The largest log p(member, g, visits | given) of all states, and that of each."""
    states = np.array([s for s in itertools.product(range(2), range(3), range(40))], dtype=float)
    names = list(joint.schema.names)
    rows = np.full((len(states), len(names)), np.nan)
    for column, name in enumerate(("member", "g", "visits")):
        rows[:, names.index(name)] = states[:, column]
    known = np.zeros(rows.shape, dtype=bool)
    for name, value in given.items():
        rows[:, names.index(name)] = value
        known[:, names.index(name)] = True
    return joint.model.log_conditional(QueryBatch.from_values(joint.schema, rows), known).value.max()


@pytest.mark.parametrize("draws", [30, 400])
def test_few_draws_and_steps_from_the_best_find_the_likeliest_state(joint, draws):
    found = joint.mode(["member", "g", "visits"], {"x": 0.4}, draws=draws)
    assert found.attrs["log_prob"] == pytest.approx(best(joint, {"x": 0.4}), abs=1e-3)
    assert "not an optimum" in found.attrs["caveat"]
    row = {name: [found[name].item()] for name in ("member", "g", "visits")} | {"x": [0.4]}
    scored = joint.conditional_log_prob(row, given=["x"])["log_prob"].item()
    assert scored == pytest.approx(found.attrs["log_prob"], abs=1e-3)


def test_under_a_range_the_promising_points_are_weighed_against_it(joint):
    given = {"x": genprob.Within(0.2, 0.6)}
    found = joint.mode(["member", "g", "visits"], given, draws=400)
    state = {name: found[name].item() for name in ("member", "g", "visits")}
    own = np.log(float(joint.probability(state, given)))
    assert found.attrs["log_prob"] == pytest.approx(own, abs=0.1)
    others = [state | {"g": g} for g in "abc"] + [state | {"visits": n} for n in range(4)]
    assert own >= max(np.log(float(joint.probability(other, given))) for other in others) - 0.15


def test_climbing_finds_likelier_rows_than_draws_do(shaken, mixed, monkeypatch):
    joint = shaken(mixed, stated={"income": {"support": "real", "measure": "lebesgue"}}, orders=2)
    names = ["x", "income", "age", "visits", "g"]
    climbed = joint.mode(names, {"member": 1}, draws=60)
    monkeypatch.setattr(module, "_SWEEPS", 0)
    plain = joint.mode(names, {"member": 1}, draws=60)
    assert climbed.attrs["log_prob"] > plain.attrs["log_prob"] + 0.1


def test_the_best_of_the_promising_points_is_about_the_best_of_all(shaken, mixed, monkeypatch):
    joint = shaken({name: mixed[name] for name in ("g", "visits", "x")}, stated={"visits": "count"}, noise=0.05)
    given = {"visits": genprob.Within(1, 3)}
    screened = joint.mode(["x", "g"], given, draws=300)
    monkeypatch.setattr(module, "_SCREENED", 1000)
    whole = joint.mode(["x", "g"], given, draws=300)
    assert screened.attrs["log_prob"] == pytest.approx(whole.attrs["log_prob"], abs=0.1)


def test_surprise_of_several_members_says_that_it_is_an_estimate(shaken, mixed, joint):
    table = {name: mixed[name][:40] for name in ("member", "g", "x")}
    alone, several = joint.surprise(table), shaken(table, members=2).surprise(table)
    assert alone.attrs["kind"] == "exact" and not alone.attrs["reasons"]
    assert several.attrs["kind"] == "estimate" and "members" in several.attrs["reasons"]
