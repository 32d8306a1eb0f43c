"""The ancestral strategy against sums over all states and orders of a model with random conditionals."""

import itertools

import numpy as np
import pytest
import torch

from genprob.data.batch import Batch
from genprob.data.schema import Schema, Variable
from genprob.data.support import Binary, Categorical
from genprob.joint import Joint
from genprob.model import Model
from genprob.query import told_states
from genprob.query.batch import QueryBatch
from genprob.query.capabilities import Met
from genprob.query.evidence import OneOf, Soft
from genprob.query.paths import survivors
from genprob.query.strategies import ancestral
from genprob.results.record import Marginal

LEVELS = (3, 2, 2, 3)
SCHEMA = Schema(
    (
        Variable("a", Categorical(("u", "v", "w"))),
        Variable("b", Binary()),
        Variable("c", Binary()),
        Variable("d", Categorical(("r", "s", "t"))),
    )
)


class Tabled:
    """Probabilities `[n, levels]` of one column."""

    def __init__(self, column, log_p):
        self.column, self.log_p = column, log_p

    def __len__(self):
        return len(self.log_p)

    def take(self, index):
        return Tabled(self.column, self.log_p[index])

    def log_prob(self, values):
        return self.log_p.gather(1, values.long()[:, None])[:, 0]

    def draw(self, index=None):
        share = self.log_p.exp() if index is None else self.log_p.exp()[index]
        return torch.multinomial(share, 1)[:, 0].double()

    def meet(self, queries):
        told = self.log_p + torch.log(torch.as_tensor(queries.likelihoods[self.column]))
        mass = torch.logsumexp(told, 1)
        share = torch.where(torch.isfinite(mass)[:, None], (told - mass[:, None]).exp(), 1.0)
        return Met(mass, torch.multinomial(share, 1)[:, 0].double(), torch.zeros(len(self)))

    def marginal(self, queries, log_weight=None):
        each = self.log_p.exp().reshape(queries, -1, self.log_p.shape[1])
        share = torch.zeros(len(self)) if log_weight is None else log_weight
        pmf = (torch.softmax(share.reshape(queries, -1), 1)[..., None] * each).sum(1).numpy()
        blank = np.full(len(pmf), np.nan)
        return Marginal(blank, blank, blank, np.full((len(pmf), 7), np.nan), pmf, np.zeros_like(pmf), True)


class Incoherent(Model):
    """Every conditional a random table of its own, so that no two orders agree."""

    orders = 24

    def __init__(self, schema, strength=1.0):
        super().__init__(schema)
        self.strength = strength

    def log_p(self, column, given):
        """Log-probabilities of a column given `{column: level}`."""
        key = [column] + [given.get(j, 9) for j in range(4)]
        logits = np.random.default_rng(key).normal(size=LEVELS[column]) * self.strength
        return logits - np.logaddexp.reduce(logits)

    def contexts(self, values, known):
        rows = [{j: int(v[j]) for j in range(4) if k[j]} for v, k in zip(values.tolist(), known.tolist(), strict=True)]
        outer = self

        class Here:
            def law(self, column, index=None):
                chosen = rows if index is None else [rows[i] for i in index.tolist()]
                return Tabled(column, torch.as_tensor(np.stack([outer.log_p(column, row) for row in chosen])))

        return Here()

    def log_evidence(self, queries):
        return ancestral.log_evidence(self, queries)

    def log_conditional(self, queries, given):
        return ancestral.log_conditional(self, queries, given)

    def draw(self, draws):
        return ancestral.draw(self, QueryBatch.empty(SCHEMA, 1), draws)[0]


def along(model, order, state, given=None):
    """p of the levels `state {column: level}` in an order, given others."""
    known, total = dict(given or {}), 0.0
    for j in order:
        total += model.log_p(j, known)[state[j]]
        known[j] = state[j]
    return np.exp(total)


def joint(model):
    rows = torch.zeros(4, 4, dtype=torch.float64)
    batch = Batch(SCHEMA, rows, torch.ones_like(rows, dtype=torch.bool), torch.arange(4), 4)
    return Joint(SCHEMA, model, run=None, reference=batch, rows=1000)


@pytest.fixture(scope="module")
def model():
    return Incoherent(SCHEMA)


def states():
    return [dict(enumerate(s)) for s in itertools.product(*map(range, LEVELS))]


def test_every_order_is_a_distribution_and_their_average_is_log_prob(model):
    rows = np.array([[s[j] for j in range(4)] for s in states()], dtype=float)
    found = ancestral.log_evidence(model, QueryBatch.from_values(SCHEMA, rows))
    assert found.kind == "exact" and found.law == "order-mixture" and not found.error.any()
    assert abs(np.exp(found.value).sum() - 1) < 1e-9
    orders = list(itertools.permutations(range(4)))
    for q in (0, 7, 30):
        expected = np.mean([along(model, order, states()[q]) for order in orders])
        assert np.isclose(np.exp(found.value[q]), expected)


def test_some_orders_estimate_the_average_of_all_and_say_how_well(model):
    rows = np.tile([[0.0, 1.0, 1.0, 2.0]], (4000, 1))
    torch.manual_seed(0)
    exact = ancestral.log_evidence(model, QueryBatch.from_values(SCHEMA, rows[:1])).value[0]
    values, errors = [], []
    for _ in range(100):
        found = ancestral.log_evidence(model, QueryBatch.from_values(SCHEMA, rows[:1]), orders=8)
        assert found.kind == "estimate"
        values.append(found.value[0])
        errors.append(found.error[0])
    assert abs(np.mean(np.exp(values)) - np.exp(exact)) < 5 * np.std(np.exp(values)) / 10
    assert 0.3 < np.mean(errors) / np.std(values) < 3
    assert np.isnan(ancestral.log_evidence(model, QueryBatch.from_values(SCHEMA, rows[:1]), orders=1).error[0])


def test_orders_come_in_pairs_of_one_and_its_reverse(model):
    state = {0: 0, 1: 1, 2: 1, 3: 2}
    torch.manual_seed(3)
    for _ in range(5):
        found = ancestral.log_evidence(
            model, QueryBatch.from_values(SCHEMA, np.array([[0.0, 1.0, 1.0, 2.0]])), orders=2
        )
        pairs = [(along(model, o, state), along(model, o[::-1], state)) for o in itertools.permutations(range(4))]
        assert np.isclose(np.exp(found.value[0]), [(a + b) / 2 for a, b in pairs]).any()


def test_rows_with_holes_are_scored_by_their_known_cells(model):
    rows = np.array([[np.nan, 1.0, np.nan, 2.0], [np.nan] * 4, [2.0, np.nan, np.nan, np.nan]])
    found = ancestral.log_evidence(model, QueryBatch.from_values(SCHEMA, rows)).value
    both = np.mean([along(model, order, {1: 1, 3: 2}) for order in ((1, 3), (3, 1))])
    assert np.allclose(found, [np.log(both), 0.0, model.log_p(0, {})[2]])


def test_conditionals_are_scored_with_what_is_given_first(model):
    rows = {"a": ["u", "w"], "b": [1, 0], "c": [0, 0], "d": ["t", "r"]}
    found = joint(model).conditional_log_prob(rows, given=["a", "c"])
    assert found.attrs["kind"] == "exact"
    for q, state in enumerate(({0: 0, 1: 1, 2: 0, 3: 2}, {0: 2, 1: 0, 2: 0, 3: 0})):
        given = {0: state[0], 2: 0}
        expected = np.mean([along(model, order, state, given) for order in ((1, 3), (3, 1))])
        assert np.isclose(found["log_prob"].values[q], np.log(expected))


def test_disagreement_is_the_spread_over_orders_and_none_where_orders_agree(model):
    class Coherent(Incoherent):
        def log_p(self, column, given):
            return super().log_p(column, {})

    given = {"a": "u", "b": 0, "c": 1}
    answer = joint(model).query(targets=["d"], given=given, draws=10)
    orders = itertools.permutations((0, 1, 2))
    spread = np.std([np.log(along(model, order, {0: 0, 1: 0, 2: 1})) for order in orders], ddof=1)
    assert np.isclose(answer["sample_stats"]["order_disagreement"], spread) and spread > 0.1
    none = joint(Coherent(SCHEMA)).query(targets=["d"], given=given, draws=10)
    assert abs(float(none["sample_stats"]["order_disagreement"])) < 1e-12


def test_a_targets_marginal_is_the_models_own_conditional(model):
    answer = joint(model).query(targets=["d"], given={"a": "w", "b": 1}, draws=4000, seed=1)
    assert answer.attrs["guarantee"] == "exact" and answer.attrs["law"] == "order-mixture"
    expected = np.exp(model.log_p(3, {0: 2, 1: 1}))
    assert np.allclose(answer["marginals"]["d_pmf"], expected)
    drawn = answer["posterior"]["d"].values
    assert np.abs([(drawn == level).mean() for level in "rst"] - expected).max() < 0.04
    evidence = np.mean([along(model, order, {0: 2, 1: 1}) for order in ((0, 1), (1, 0))])
    assert np.isclose(answer.attrs["log_evidence"], np.log(evidence))


def test_draws_come_in_fresh_random_orders(model):
    drawn = joint(model).query(targets=["b", "c", "d"], given={"a": "v"}, draws=20_000, seed=2)["posterior"]
    cells = np.stack([drawn[n].values.reshape(-1) for n in ("b", "c")], 1).astype(int)
    last = np.searchsorted(list("rst"), drawn["d"].values.reshape(-1).astype(str))
    counted = np.zeros((2, 2, 3))
    np.add.at(counted, (cells[:, 0], cells[:, 1], last), 1 / 20_000)
    for b, c, d in itertools.product(range(2), range(2), range(3)):
        p = np.mean([along(model, o, {1: b, 2: c, 3: d}, {0: 1}) for o in itertools.permutations((1, 2, 3))])
        assert abs(counted[b, c, d] - p) < 5 * np.sqrt(p / 20_000)


def test_one_set_is_met_exactly(model):
    answer = joint(model).query(targets=["d"], given={"a": OneOf("u", "w"), "b": 1}, draws=4000, seed=3)
    assert answer.attrs["guarantee"] == "exact" and answer.attrs["computation"] == "ok"
    p = np.exp(model.log_p(0, {1: 1}))
    points = np.exp(model.log_p(1, {})[1])
    assert np.isclose(answer.attrs["log_evidence"], np.log(points * (p[0] + p[2])))
    expected = sum(p[a] * np.exp(model.log_p(3, {0: a, 1: 1})) for a in (0, 2)) / (p[0] + p[2])
    assert np.abs(answer["marginals"]["d_pmf"].values - expected).max() < 0.1
    assert np.abs([(answer["posterior"]["d"].values == level).mean() for level in "rst"] - expected).max() < 0.04


@pytest.mark.parametrize("how", ["summed", "weighed"])
def test_several_pieces_of_evidence_are_summed_state_by_state_or_weighed(model, how, monkeypatch):
    if how == "weighed":
        monkeypatch.setattr(told_states, "MOST_STATES", 0)
    weights = {"r": 0.1, "s": 1.0, "t": 0.4}
    given = {"a": OneOf("u", "w"), "d": Soft(weights), "c": 1}
    answer = joint(model).query(targets=["b"], given=given, draws=8000, seed=4, budget=20_000)
    promised = {"summed": ("exact", ""), "weighed": ("consistent", "particles")}[how]
    assert (answer.attrs["guarantee"], answer.attrs["limit"]) == promised
    evidence, hits = 0.0, np.zeros(2)
    for order in ((0, 3), (3, 0)):
        for a, d in itertools.product((0, 2), range(3)):
            weight = along(model, order, {0: a, 3: d}, {2: 1}) * list(weights.values())[d] / 2
            evidence += weight
            hits += weight * np.exp(model.log_p(1, {0: a, 2: 1, 3: d}))
    evidence *= np.exp(model.log_p(2, {})[1])
    share = hits[1] / hits.sum()
    if how == "summed":
        assert np.isclose(answer.attrs["log_evidence"], np.log(evidence)) and answer.attrs["log_evidence_se"] == 0
        assert np.isclose(answer["marginals"]["b_pmf"][1], share) and not answer["marginals"]["b_pmf_mcse"].any()
    assert abs(answer.attrs["log_evidence"] - np.log(evidence)) < 5 * answer.attrs["log_evidence_se"] + 1e-3
    assert abs(answer["posterior"]["b"].values.mean() - share) < 0.03
    scored = ancestral.log_evidence(model, QueryBatch.from_evidence(SCHEMA, [given], ["b"]))
    assert scored.kind == {"summed": "exact", "weighed": "estimate"}[how]
    assert abs(scored.value[0] - np.log(evidence)) < 0.1


STEEP = {"a": [0.02, 1.0, 0.02], "b": [0.03, 1.0], "d": [1.0, 0.01, 0.01]}


def steep():
    """A model whose orders weigh very differently, and evidence of three pieces."""
    given = {
        "a": Soft(dict(zip("uvw", STEEP["a"], strict=True))),
        "b": Soft({0: STEEP["b"][0], 1: STEEP["b"][1]}),
        "d": Soft(dict(zip("rst", STEEP["d"], strict=True))),
    }
    return Incoherent(SCHEMA, strength=2.5), given


def test_resampling_between_pieces_of_evidence_keeps_the_estimate_unbiased(monkeypatch):
    model, given = steep()
    evidence, hits = 0.0, np.zeros(2)
    for order in itertools.permutations((0, 1, 3)):
        for a, b, d in itertools.product(range(3), range(2), range(3)):
            likelihood = STEEP["a"][a] * STEEP["b"][b] * STEEP["d"][d] / 6
            weight = along(model, order, {0: a, 1: b, 3: d}) * likelihood
            evidence += weight
            hits += weight * np.exp(model.log_p(2, {0: a, 1: b, 3: d}))
    exact = joint(model).query(targets=["c"], given=given, draws=10)
    assert np.isclose(exact.attrs["log_evidence"], np.log(evidence))
    assert np.isclose(exact["marginals"]["c_pmf"][1], hits[1] / hits.sum())
    monkeypatch.setattr(told_states, "MOST_STATES", 0)
    answer = joint(model).query(targets=["c"], given=given, draws=8000, seed=7, budget=8000)
    assert abs(answer.attrs["log_evidence"] - np.log(evidence)) < 0.1
    assert abs(answer["posterior"]["c"].values.mean() - hits[1] / hits.sum()) < 0.05


def test_rows_that_descend_from_one_count_as_one(monkeypatch):
    monkeypatch.setattr(told_states, "MOST_STATES", 0)
    model, given = steep()
    batch = QueryBatch.from_evidence(SCHEMA, [given] * 200, ["c"])
    torch.manual_seed(0)
    answers = ancestral.Ancestral().answer(joint(model), batch, 10, 400)
    said, spread = answers.log_evidence_se.mean(), answers.log_evidence.std()
    assert 0.8 * spread < said < 1.5 * spread  # by their own weights they would claim half of it
    assert answers.ess.mean() < 150


def test_one_piece_of_evidence_is_worth_as_many_draws_as_were_made(model, monkeypatch):
    monkeypatch.setattr(told_states, "MOST_STATES", 0)
    rows = [{"a": OneOf("u", "w")}, {"a": OneOf("u", "w"), "b": Soft({0: 0.9, 1: 0.3})}]
    answer = joint(model).query(targets=["d"], rows=rows, draws=3000, budget=1024)
    ess = answer["sample_stats"]["ess"].values
    assert ess[0] == 3000 and ess[1] <= 1024


def test_resampled_particles_share_the_weight_that_there_was():
    torch.manual_seed(0)
    log_weight = torch.log(torch.tensor([[0.97, 0.01, 0.01, 0.01] * 50, [1.0] * 200], dtype=torch.float64)) - 3.0
    chosen, kept = survivors(log_weight)
    assert torch.allclose(torch.logsumexp(kept, 1), torch.logsumexp(log_weight, 1))
    assert len(torch.unique(kept[0])) == 1 and torch.equal(kept[1], log_weight[1])
    assert abs((chosen[0] % 4 == 0).double().mean() - 0.97) < 0.04 and torch.equal(chosen[1], torch.arange(200))
    assert survivors(log_weight[1:]) is None


def test_a_batch_holds_what_each_query_says_alone(model):
    rows = [{"a": "u"}, {"a": OneOf("u", "v")}, {"b": Soft({1: 0.9, 0: 0.1}), "a": OneOf("v", "w")}, {}]
    batch = joint(model).query(targets=["c"], rows=rows, draws=2000, seed=5)
    for q, row in enumerate(rows):
        alone = joint(model).query(targets=["c"], given=row, draws=2000, seed=6)
        assert abs(batch["posterior"]["c"].values[q].mean() - alone["posterior"]["c"].values.mean()) < 0.07
        evidence = batch["sample_stats"]["log_evidence"].values[q]
        assert abs(evidence - alone.attrs["log_evidence"]) < 0.1


def test_support_of_a_set_is_judged_under_the_law_of_its_log_evidence(model):
    class Ranked(Incoherent):
        def score_rows(self, batch):
            return torch.full((len(batch),), 50.0, dtype=torch.float64)  # nowhere near log p

        def score_masks(self, batch, masks):
            return torch.full((len(masks), len(batch)), 50.0, dtype=torch.float64)

    answer = joint(Ranked(SCHEMA)).query(targets=["d"], given={"a": OneOf("u", "w"), "b": 1}, draws=10)
    assert answer.attrs["support"] == "ok"


def test_impossible_evidence_is_named(model):
    class Sure(Incoherent):
        def log_p(self, column, given):
            return np.log([1.0, 0.0, 0.0][: LEVELS[column]]) if column == 0 else super().log_p(column, given)

    from genprob.errors import UsageError

    with pytest.raises(UsageError, match="probability zero"), np.errstate(divide="ignore"):
        joint(Sure(SCHEMA)).query(targets=["b"], given={"a": OneOf("v", "w")}, draws=10)
