"""Enumeration against the reference's own sums, and programs with discrete latents against sums worked out here."""

from dataclasses import replace

import numpy as np
import pyro
import pytest
import torch
from pyro.distributions import Bernoulli, Categorical
from scipy import stats
from torch import nn

from genprob import Masked, OneOf, Soft, Within
from genprob.data.batch import Batch
from genprob.data.measure import Cell
from genprob.data.schema import Schema, Variable
from genprob.data.support import Categorical as Levels
from genprob.data.support import Count, Real
from genprob.errors import UsageError
from genprob.joint import Joint
from genprob.model import Model
from genprob.query.batch import QueryBatch
from genprob.query.programs import capable
from genprob.query.strategies.enumeration import Enumeration
from genprob.testing import references


def joint_over(schema, model, rows):
    values = torch.as_tensor(rows, dtype=torch.float64)
    batch = Batch(schema, values, torch.ones_like(values, dtype=torch.bool), torch.arange(len(rows)), len(rows))
    return Joint(schema, model, run=None, reference=batch, rows=len(rows))


QUESTIONS = {
    "chest-clinic": [{"dyspnoea": Soft({"0": 0.2, "1": 0.9}), "smoking": 1}, {"xray": OneOf(1)}, {}],
    "rbm": [{"v1": 1, "v2": Soft({"0": 0.3, "1": 1.0})}, {"v3": OneOf(0), "v4": 0, "v5": 1}],
    "rbm-array": [{"v": Masked(np.ones(10, int), np.arange(10) < 6)}],
    "ising": [{"s1": 1, "s5": 0}, {}],
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_evidence_and_marginals_are_exact(name):
    reference = references()[name]
    joint = reference.as_joint()
    for given in QUESTIONS[name]:
        answer = joint.query(None, given, draws=4000, seed=0, strategy="enumeration")
        queries = QueryBatch.from_evidence(reference.schema, [given])
        assert answer.attrs["guarantee"] == "exact" and answer.attrs["computation"] == "ok"
        assert answer.attrs["log_evidence"] == pytest.approx(reference.log_evidence(queries)[0], abs=1e-9)
        for target, marginal in reference.marginals(queries, queries.targets).items():
            node = answer["marginals"]
            known = queries.kind[0, reference.schema.slices[target]] == 1
            pmf = marginal.pmf[0].reshape(-1, 2)[~known.reshape(-1)]
            np.testing.assert_allclose(node[f"{target}_pmf"].values.reshape(-1, 2)[~known], pmf, atol=1e-9)
            drawn = answer["posterior"][target].values.reshape(4000, -1).mean(0)[~known]
            np.testing.assert_allclose(drawn, pmf[:, 1], atol=0.04)


def test_a_batch_of_different_sizes_is_each_query_alone():
    joint = references()["chest-clinic"].as_joint()
    rows = [{"smoking": 1}, {"smoking": 0, "xray": 1, "asia": 0, "either": 1}, {"bronchitis": OneOf(0)}]
    whole = joint.query(["dyspnoea"], rows=rows, draws=10, strategy="enumeration")
    for q, given in enumerate(rows):
        alone = joint.query(["dyspnoea"], given, draws=10, strategy="enumeration")
        assert whole["sample_stats"]["log_evidence"].values[q] == pytest.approx(alone.attrs["log_evidence"])
        np.testing.assert_allclose(whole["marginals"]["dyspnoea_pmf"].values[q], alone["marginals"]["dyspnoea_pmf"])


COUNTS = Schema((Variable("n", Count()), Variable("c", Real(), Cell(0.5)), Variable("g", Levels(("a", "b"))),
                 Variable("x", Real())))  # fmt: skip


class Table(Model):
    """p(n) Poisson(3), c rounded N(n / 2, 1), g = b with probability 1 / (1 + n), x ~ N(n + c, 1); times e^2."""

    precision = torch.float64
    log_partition, log_partition_se = 2.0, 0.125

    def log_joint(self, values):
        n, c, g, x = (v.numpy() for v in values.unbind(-1))
        mass = stats.poisson.logpmf(n, 3) + np.log(np.where(g == 1, 1 / (1 + n), n / (1 + n)))
        cell = np.log(stats.norm.cdf(c + 0.25, n / 2) - stats.norm.cdf(c - 0.25, n / 2))
        return torch.as_tensor(2.0 + mass + cell + stats.norm.logpdf(x, n + c))


@pytest.fixture(scope="module")
def table():
    return joint_over(COUNTS, Table(COUNTS), np.tile([3.0, 1.5, 0.0, 4.0], (20, 1)))


def test_sets_and_intervals_of_counts_and_cells(table):
    given = {"n": OneOf(1, 4, 6), "c": Within(0.4, 2.1), "x": 3.0}
    queries = QueryBatch.from_evidence(COUNTS, [given])
    queries = replace(queries, asked=np.array([[True, True, True, False]]))
    torch.manual_seed(0)
    answer = Enumeration().answer(table, queries, 20_000, None)
    states = np.array([[n, c, g, 3.0] for n in (1, 4, 6) for c in (0.5, 1.0, 1.5, 2.0) for g in (0, 1)])
    mass = np.exp(table.model.log_joint(torch.as_tensor(states)).numpy() - 2.0)
    assert answer.log_evidence[0] == pytest.approx(np.log(mass.sum()), abs=1e-12)
    assert answer.log_evidence_se[0] == 0.125
    share = mass / mass.sum()
    assert answer.marginals["n"].mean[0] == pytest.approx(share @ states[:, 0])
    assert answer.marginals["c"].sd[0] == pytest.approx(
        np.sqrt(share @ states[:, 1] ** 2 - (share @ states[:, 1]) ** 2)
    )
    np.testing.assert_allclose(answer.marginals["g"].pmf[0], [share @ (states[:, 2] == g) for g in (0, 1)])
    np.testing.assert_allclose(answer.values[0, 0].mean(0), share @ states, atol=0.05)
    cumulative = [share @ (states[:, 1] <= c) for c in answer.marginals["c"].quantiles[0]]
    assert (np.array(cumulative) >= np.array([0.025, 0.05, 0.25, 0.5, 0.75, 0.95, 0.975]) - 1e-9).all()


def test_what_cannot_be_listed_is_refused_with_a_reason(table):
    said = {w.strategy: w for w in table.explain(["g"], {"n": 1, "c": 0.5}).offers}["enumeration"]
    assert not said.offered and "'x' takes infinitely many values" in said.reason
    said = {w.strategy: w for w in table.explain(["g"], {"n": Within(3, None), "c": 0.5, "x": 0.0}).offers}
    assert "'n' takes infinitely many" in said["enumeration"].reason
    given = {"n": Within(0, 999), "c": Within(-50, 49.5), "x": 0.0}
    assert (
        "400000 states, more than 65536"
        in {w.strategy: w for w in table.explain(None, given).offers}["enumeration"].reason
    )
    said = {w.strategy: w for w in references()["gaussian"].as_joint().explain(None, {}).offers}
    assert "infinitely many" in said["enumeration"].reason


def test_impossible_evidence_is_the_users_mistake():
    joint = references()["chest-clinic"].as_joint()
    with pytest.raises(UsageError, match="probability zero"):
        joint.query(["smoking"], {"tuberculosis": 1, "either": 0}, strategy="enumeration")


class Switches(Model):
    """x ~ N(sum of weights of three coins and a four-sided die, .5)."""

    def __init__(self, schema):
        super().__init__(schema)
        self.decoder = nn.Linear(4, self.emission_width)

    def model(self, batch):
        with batch.plate():
            coins = pyro.sample("coins", Bernoulli(torch.tensor([0.3, 0.5, 0.8])).to_event(1))
            die = pyro.sample("die", Categorical(torch.tensor([0.4, 0.3, 0.2, 0.1])))
            self.emit(self.decoder(torch.cat([coins, die[:, None].to(coins.dtype)], 1)), batch)

    def guide(self, batch):
        with batch.plate():
            pyro.sample("coins", Bernoulli(torch.full((3,), 0.5)).to_event(1))
            pyro.sample("die", Categorical(torch.full((4,), 0.25)))


@pytest.fixture(scope="module")
def switches():
    torch.manual_seed(0)
    schema = Schema((Variable("x", Real()), Variable("y", Real())))
    model = capable(Switches)(schema)
    joint = joint_over(schema, model, np.random.default_rng(0).normal(size=(100, 2)))
    model.prepare(joint.reference, seed=0)
    with torch.no_grad():
        model.heads.log_scale.fill_(-1.0)
    model.eval()
    return joint


def test_discrete_latents_are_summed_under_every_kind_of_evidence(switches):
    model = switches.model
    heads, encoder = model.heads, model.heads.encoder
    states, prior = [], []
    for a, b, c, d in np.ndindex(2, 2, 2, 4):
        states.append([a, b, c, d])
        coins = [p if s else 1 - p for p, s in zip((0.3, 0.5, 0.8), (a, b, c), strict=True)]
        prior.append(np.prod(coins) * (0.4, 0.3, 0.2, 0.1)[d])
    with torch.no_grad():
        out = model.decoder(torch.tensor(states, dtype=torch.float32)).double().numpy()
    unit = encoder.scale.numpy()
    loc, sd = out * unit + encoder.loc.numpy(), heads.scale().detach().numpy() * unit
    given = {"x": Within(-0.5, 0.4)}
    mass = prior * (stats.norm.cdf(0.4, loc[:, 0], sd[0]) - stats.norm.cdf(-0.5, loc[:, 0], sd[0]))
    answer = switches.query(["y"], given, draws=2000, seed=0)
    assert (answer.attrs["strategy"], answer.attrs["guarantee"]) == ("enumeration", "exact")
    assert answer.attrs["log_evidence"] == pytest.approx(np.log(mass.sum()), abs=1e-6)
    mean, error = (float(answer["marginals"][f"y_{key}"]) for key in ("mean", "mcse"))
    assert abs(mean - mass @ loc[:, 1] / mass.sum()) < 4 * error
    soft = switches.query(["y"], {"x": Soft(0.2, sd=0.3)}, draws=10)
    density = prior @ stats.norm.pdf(0.2, loc[:, 0], np.hypot(sd[0], 0.3))
    assert soft.attrs["log_evidence"] == pytest.approx(np.log(density), abs=1e-4)
    point = switches.query(["y"], {"x": 0.2}, draws=10, strategy="enumeration")
    assert point.attrs["log_evidence"] == pytest.approx(np.log(prior @ stats.norm.pdf(0.2, loc[:, 0], sd[0])), abs=1e-5)
