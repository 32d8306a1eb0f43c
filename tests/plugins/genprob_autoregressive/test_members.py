"""Ensembles: the joint is the average of its members' joints, and evidence decides which of them count."""

import itertools

import numpy as np
import pytest
import torch

from genprob.errors import UsageError
from genprob.query.batch import QueryBatch

MEMBERS = 3


@pytest.fixture(scope="module")
def joint(shaken, mixed):
    table = {name: mixed[name] for name in ("member", "g", "visits")}
    return shaken(
        table | {"visits": np.minimum(table["visits"], 4)}, stated={"visits": "count"}, orders=6, members=MEMBERS,
        noise=0.8,
    )  # fmt: skip


def along(joint, order, row, member, given=()):
    """p of the cells of a row in an order, as one member sees it."""
    values, known = torch.as_tensor(np.array([row], dtype=float)), torch.zeros(1, len(row), dtype=torch.bool)
    known[:, list(given)] = True
    total = 0.0
    for j in order:
        total += float(joint.model.contexts(values, known, torch.tensor([member])).law(j).log_prob(values[:, j]))
        known[:, j] = True
    return np.exp(total)


def average(joint, row, cells, member, given=()):
    orders = list(itertools.permutations(cells))
    return np.mean([along(joint, order, row, member, given) for order in orders])


def test_log_prob_is_the_log_mean_over_members_and_orders(joint):
    states = np.array(list(itertools.product(range(2), range(3), range(300))), dtype=float)
    found = joint.model.log_evidence(QueryBatch.from_values(joint.schema, states))
    assert found.kind == "exact" and abs(np.exp(found.value).sum() - 1) < 1e-3
    for q in (0, 304, 903):
        of_member = [average(joint, states[q], (0, 1, 2), m) for m in range(MEMBERS)]
        assert np.isclose(np.exp(found.value[q]), np.mean(of_member))
        assert np.std(np.log(of_member)) > 0.02  # they differ, so that the average means something


def test_answers_weigh_members_by_how_well_they_foresaw_the_evidence(joint):
    given = {"member": 1, "visits": 4}
    answer = joint.query(targets=["g"], given=given, draws=6000, seed=1)
    row = [1.0, 0.0, 4.0]
    weight = np.array([average(joint, row, (0, 2), m) for m in range(MEMBERS)])
    assert np.isclose(answer.attrs["log_evidence"], np.log(weight.mean()))
    expected = np.zeros(3)
    for m, level in itertools.product(range(MEMBERS), range(3)):
        expected[level] += weight[m] / weight.sum() * along(joint, (1,), [1.0, level, 4.0], m, given=(0, 2))
    assert np.allclose(answer["marginals"]["g_pmf"], expected) and not answer["marginals"]["g_pmf_mcse"].any()
    share = [(answer["posterior"]["g"].values == level).mean() for level in "abc"]
    assert np.abs(share - expected).max() < 0.025
    assert answer.attrs["guarantee"] == "exact"
    stats = answer["sample_stats"]
    assert np.isclose(stats["member_disagreement"], np.log(weight).std(ddof=1))
    spread = [np.log([along(joint, o, row, m) for o in ((0, 2), (2, 0))]).var(ddof=1) for m in range(MEMBERS)]
    assert np.isclose(stats["order_disagreement"], np.sqrt(np.mean(spread)))


def test_a_draw_stays_with_one_member(joint):
    answer = joint.query(targets=["g", "visits"], given={"member": 1}, draws=20_000, seed=2)["posterior"]
    weight = np.array([along(joint, (0,), [1.0, 0.0, 0.0], m) for m in range(MEMBERS)])
    labels, visits = (answer[name].values.reshape(-1) for name in ("g", "visits"))
    for level, count in itertools.product(range(3), range(3)):
        row = [1.0, float(level), float(count)]
        p = sum(weight[m] * average(joint, row, (1, 2), m, given=(0,)) for m in range(MEMBERS)) / weight.sum()
        assert abs(((labels == "abc"[level]) & (visits == count)).mean() - p) < 5 * np.sqrt(p / 20_000)


def test_sets_and_ranges_are_met_by_every_member(joint):
    import genprob

    given = {"visits": genprob.Within(1, 3), "g": genprob.OneOf("a", "c")}
    answer = joint.query(targets=["member"], given=given, draws=10)
    total, hits = 0.0, 0.0
    for m, g, n in itertools.product(range(MEMBERS), (0, 2), (1, 2, 3)):
        p = average(joint, [0.0, g, n], (1, 2), m) / MEMBERS
        total, hits = total + p, hits + p * along(joint, (0,), [1.0, g, n], m, given=(1, 2))
    assert answer.attrs["guarantee"] == "exact"
    assert np.isclose(answer.attrs["log_evidence"], np.log(total))
    assert np.isclose(answer["marginals"]["member_mean"], hits / total)


def test_conditional_scores_weigh_members_by_what_is_given(joint):
    rows = {"member": [1] * 3, "g": list("abc"), "visits": [2] * 3}
    found = joint.conditional_log_prob(rows, given=["member", "visits"])["log_prob"].values
    weight = [average(joint, [1.0, 0.0, 2.0], (0, 2), m) for m in range(MEMBERS)]
    for level in range(3):
        p = [along(joint, (1,), [1.0, level, 2.0], m, given=(0, 2)) for m in range(MEMBERS)]
        assert np.isclose(np.exp(found[level]), np.average(p, weights=weight))


def test_where_orders_are_sampled_the_shares_of_members_are_no_exact_ones(shaken, mixed):
    joint = shaken(mixed, members=2, orders=4)
    given = {"x": 0.3, "age": 40.0, "g": "a", "member": 1}
    assert joint.explain(targets=["visits"], given=given).offers[0].guarantee == "consistent"
    assert joint.explain(targets=["visits"], given={"g": "a"}).offers[0].guarantee == "exact"


def test_no_member_is_refused(shaken, mixed):
    with pytest.raises(UsageError, match="members"):
        shaken(mixed, members=0)
