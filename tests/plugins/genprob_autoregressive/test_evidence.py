"""Ranges, sets and readings on several columns of a mixed table, against sums over every state and order."""

import itertools

import numpy as np
import pytest
import torch

import genprob
from genprob.query import told_states
from genprob.query.batch import QueryBatch

NAMES = ("x", "age", "visits", "g")


@pytest.fixture(scope="module")
def joint(shaken, mixed):
    table = {name: mixed[name] for name in NAMES} | {"age": np.round(mixed["age"] / 5) * 5}
    return shaken(table, stated={"x": "real", "age": "cell(5)", "visits": "count"}, noise=0.3, orders=24)


def log_p(joint, rows, j, known):
    """log p of column j of rows given others."""
    given = torch.zeros(len(rows), len(NAMES), dtype=torch.bool)
    given[:, list(known)] = True
    values = torch.as_tensor(rows)
    return joint.model.contexts(values, given).law(j).log_prob(values[:, j]).numpy()


def truth(joint, states, weight, target):
    """p(evidence) and a target's shares, by all states of the told columns along all orders of them."""
    columns = sorted(states)
    grid = np.array(list(itertools.product(*[states[j] for j in columns])))
    likelihood = np.array([np.prod(w) for w in itertools.product(*[weight[j] for j in columns])])
    rows = np.zeros((len(grid), len(NAMES)))
    rows[:, columns] = grid
    orders = list(itertools.permutations(columns))
    p = np.zeros(len(rows))
    for order in orders:
        p += np.exp(sum(log_p(joint, rows, j, order[:i]) for i, j in enumerate(order))) / len(orders)
    p *= likelihood
    share = np.zeros(3)
    for level in range(3):
        rows[:, target] = level
        share[level] = (p * np.exp(log_p(joint, rows, target, columns))).sum()
    return p.sum(), share / p.sum()


def noise(places, at, sd):
    return np.exp(-0.5 * ((places - at) / sd) ** 2) / (sd * np.sqrt(2 * np.pi))


AGES, VISITS = np.arange(0.0, 125, 5), np.arange(0.0, 40)
CELLS = {
    "a range of a rounded real and one of a count": (
        {"age": genprob.Within(33, 47), "visits": genprob.Within(1, 3)},
        {1: np.array([35.0, 40, 45]), 2: np.array([1.0, 2, 3])}, {1: np.ones(3), 2: np.ones(3)},
    ),
    "a set and a reading": (
        {"age": genprob.Soft(42.0, sd=4.0), "visits": genprob.OneOf(0, 2, 5)},
        {1: AGES, 2: np.array([0.0, 2, 5])}, {1: noise(AGES, 42.0, 4.0), 2: np.ones(3)},
    ),
    "two readings": (
        {"age": genprob.Soft(30.0, sd=3.0), "visits": genprob.Soft(2.4, sd=1.0)},
        {1: AGES, 2: VISITS}, {1: noise(AGES, 30.0, 3.0), 2: noise(VISITS, 2.4, 1.0)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CELLS)
@pytest.mark.parametrize("how", ["summed", "weighed"])
def test_evidence_on_cells_and_counts_is_that_of_the_sum_over_states(joint, case, how, monkeypatch):
    if how == "weighed":
        monkeypatch.setattr(told_states, "MOST_STATES", 0)
    given, states, weight = CELLS[case]
    evidence, share = truth(joint, states, weight, target=3)
    answer = joint.query(targets=["g"], given=given, draws=4000, seed=1, budget=4000)
    assert answer.attrs["guarantee"] == {"summed": "exact", "weighed": "consistent"}[how]
    error = answer.attrs["log_evidence_se"]
    if how == "summed":
        assert error == 0 and np.isclose(answer.attrs["log_evidence"], np.log(evidence), atol=1e-6)
        assert np.allclose(answer["marginals"]["g_pmf"], share, atol=1e-6)
    assert abs(answer.attrs["log_evidence"] - np.log(evidence)) < 5 * error + 2e-3
    drawn = [(answer["posterior"]["g"].values == level).mean() for level in "abc"]
    assert np.abs(drawn - share).max() < 0.045


def test_a_range_of_a_real_is_weighed(joint):
    edges = np.linspace(-0.5, 1.25, 401)
    middle, width = (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0]
    given = {"x": genprob.Within(-0.5, 1.25), "visits": genprob.OneOf(1, 4)}
    evidence, share = truth(joint, {0: middle, 2: np.array([1.0, 4])}, {0: np.full(400, width), 2: np.ones(2)}, 3)
    answer = joint.query(targets=["g"], given=given, draws=4000, seed=1, budget=4000)
    assert answer.attrs["guarantee"] == "consistent" and answer.attrs["computation"] == "ok"
    assert abs(answer.attrs["log_evidence"] - np.log(evidence)) < 5 * answer.attrs["log_evidence_se"] + 2e-3
    drawn = [(answer["posterior"]["g"].values == level).mean() for level in "abc"]
    assert np.abs(drawn - share).max() < 0.045


def test_what_has_no_list_of_states_is_not_counted(joint):
    rows = [
        {"age": genprob.Within(33, 47), "visits": genprob.Within(1, 3)},
        {"age": genprob.Within(33, None)},
        {"x": genprob.Within(0, 1), "g": genprob.OneOf("a", "b")},
        {"g": genprob.Soft({"a": 0.5, "b": 0.0, "c": 0.2})},
        {"x": 0.3},
        {"visits": genprob.Within(0, 300)},
        {"age": genprob.Soft(40.0, sd=100.0), "visits": genprob.Within(1, 3)},
    ]
    counted = told_states.count(QueryBatch.from_evidence(joint.schema, rows))
    assert counted.tolist() == [9, 0, 0, 2, 1, 0, 0]
