"""Latents as targets and as evidence: the joint Gaussian of rows and codes, and two discrete causes summed by hand."""

import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy import special, stats
from torch import nn

import genprob
from genprob.data.batch import Batch
from genprob.data.schema import Schema, Variable
from genprob.data.support import Binary, Categorical, Count, Interval, Positive, Real
from genprob.errors import UsageError
from genprob.joint import Joint
from genprob.query import roles
from genprob.query.programs import capable

SCHEMA = Schema(tuple(Variable(name, Real()) for name in "abc"))
LATENT = 2


class Factors(genprob.Model):
    """x = W z + m + noise, and a guide that is off."""

    def __init__(self, schema):
        super().__init__(schema)
        self.decoder = nn.Linear(LATENT, self.emission_width)

    def model(self, batch):
        with batch.plate():
            z = pyro.sample("z", dist.Normal(0.0, 1.0).expand([LATENT]).to_event(1))
            self.emit(self.decoder(z), batch)

    def guide(self, batch):
        with batch.plate():
            pyro.sample("z", dist.Normal(0.2, 1.1).expand([LATENT]).to_event(1))


@pytest.fixture(scope="module")
def factors():
    torch.manual_seed(3)
    values = torch.as_tensor(np.random.default_rng(0).normal(size=(200, 3)) * [1, 2, 0.5] + [0, 5, -3])
    model = capable(Factors)(SCHEMA)
    batch = Batch(SCHEMA, values, torch.ones_like(values, dtype=torch.bool), torch.arange(200), 200)
    model.prepare(batch, seed=0)
    with torch.no_grad():
        model.decoder.weight.normal_(0, 0.8)
        model.heads.log_scale.uniform_(-0.8, -0.2)
    return Joint(SCHEMA, model.eval(), run=None, reference=batch, rows=200)


@pytest.fixture(scope="module")
def gaussian(factors):
    """Mean and covariance of (a, b, c, z0, z1), data units."""
    heads = factors.model.heads
    unit = heads.encoder.scale.numpy()
    loading = factors.model.decoder.weight.detach().double().numpy() * unit[:, None]
    mean = factors.model.decoder.bias.detach().double().numpy() * unit + heads.encoder.loc.numpy()
    noise = np.diag((heads.scale().detach().numpy() * unit) ** 2)
    covariance = np.block([[loading @ loading.T + noise, loading], [loading.T, np.eye(LATENT)]])
    return stats.multivariate_normal(np.concatenate([mean, np.zeros(LATENT)]), covariance)


def given(law, index, value):
    """The conditional of the rest."""
    rest = [i for i in range(len(law.mean)) if i not in index]
    gain = law.cov[np.ix_(rest, index)] @ np.linalg.inv(law.cov[np.ix_(index, index)])
    return law.mean[rest] + gain @ (value - law.mean[index]), law.cov[np.ix_(rest, rest)] - gain @ law.cov[
        np.ix_(index, rest)
    ]


def moments(answer, name):
    """Mean, standard deviation and the mean's error, one number for each cell."""
    return [np.atleast_1d(answer["marginals"][f"{name}_{of}"].values) for of in ("mean", "sd", "mcse")]


@pytest.mark.parametrize("strategy", ["importance", "smc", "latent-hmc"])
def test_a_row_is_encoded_by_its_exact_posterior(factors, gaussian, strategy):
    centre, spread = given(gaussian, [0, 1], np.array([0.7, 6.0]))
    answer = factors.query(["z", "c"], {"a": 0.7, "b": 6.0}, draws=2000, budget=4000, strategy=strategy, seed=1)
    assert answer.attrs["computation"] == "ok" and answer["posterior"]["z"].dims == ("chain", "draw", "z_dim_0")
    mean, sd, error = moments(answer, "z")
    assert (abs(mean - centre[1:]) < 4.5 * error).all() and np.allclose(sd, np.sqrt(np.diag(spread))[1:], rtol=0.12)
    drawn = answer["posterior"]["z"].values.reshape(-1, LATENT)
    assert np.allclose(np.cov(drawn.T), spread[1:, 1:], atol=0.12)
    both = np.cov(np.c_[answer["posterior"]["c"].values.reshape(-1), drawn].T)  # a row of draws is one row
    assert np.allclose(both[0, 1:], spread[0, 1:], atol=0.1)


def test_a_code_is_decoded_and_its_evidence_is_the_joint_density(factors, gaussian):
    z = np.array([0.5, -1.2])
    centre, spread = given(gaussian, [3, 4], z)
    answer = factors.query(given={"z": z}, draws=4000)
    assert set(answer["posterior"]) == {"a", "b", "c"}
    for i, name in enumerate("abc"):
        mean, sd, error = moments(answer, name)
        assert abs(mean - centre[i]) < 4.5 * error and np.allclose(sd, spread[i, i] ** 0.5, rtol=0.1)
    assert answer.attrs["log_evidence"] == pytest.approx(stats.norm.logpdf(z).sum(), abs=1e-5)
    answer = factors.query(["c"], {"z": z, "a": 0.3})
    exact = stats.multivariate_normal(gaussian.mean[[0, 3, 4]], gaussian.cov[np.ix_([0, 3, 4], [0, 3, 4])])
    assert answer.attrs["log_evidence"] == pytest.approx(exact.logpdf([0.3, *z]), abs=1e-4)


@pytest.mark.parametrize("strategy", ["importance", "smc", "latent-hmc"])
def test_a_reading_of_a_code(factors, gaussian, strategy):
    """A noisy reading of z0 and z1 is one more Gaussian observation."""
    wide = stats.multivariate_normal(gaussian.mean, gaussian.cov + np.diag([0, 0, 0, 0.25, 0.25]))
    centre, spread = given(wide, [1, 3, 4], np.array([6.0, 0.8, 0.8]))
    soft = genprob.Soft(0.8, sd=0.5)
    answer = factors.query(["a"], {"b": 6.0, "z": soft}, budget=4000, strategy=strategy)
    mean, sd, error = moments(answer, "a")
    assert abs(mean - centre[0]) < 4.5 * error and np.allclose(sd, spread[0, 0] ** 0.5, rtol=0.1)
    if strategy != "latent-hmc":
        marginal = stats.multivariate_normal(wide.mean[[1, 3, 4]], wide.cov[np.ix_([1, 3, 4], [1, 3, 4])])
        off = answer.attrs["log_evidence"] - marginal.logpdf([6.0, 0.8, 0.8])
        assert abs(off) < 4.5 * answer.attrs["log_evidence_se"]


def test_a_region_of_codes_and_its_probability(factors, gaussian):
    region = genprob.Within(0.5, None)
    answer = factors.query(["a"], {"z": region}, budget=4000)
    off = answer.attrs["log_evidence"] - 2 * stats.norm.logsf(0.5)
    assert abs(off) < 4.5 * answer.attrs["log_evidence_se"]
    centre, spread = given(gaussian, [0, 1], np.array([0.7, 6.0]))
    exact = stats.multivariate_normal(-centre[1:], spread[1:, 1:]).cdf([-0.5, -0.5])
    found = factors.probability({"z": region}, {"a": 0.7, "b": 6.0}, budget=4000)
    assert abs(float(found) - exact) < 4.5 * float(found["standard_error"])


def test_many_rows_are_encoded_at_once_and_some_codes_decoded(factors, gaussian):
    values = np.array([[0.1, 5.0, -3.0], [1.0, np.nan, -2.5]])
    table = {name: values[:, j] for j, name in enumerate("abc")}
    answer = factors.query(["z"], rows=table, budget=4000)
    for q, known in enumerate(([0, 1, 2], [0, 2])):
        centre, _ = given(gaussian, known, values[q, known])
        off = answer["marginals"]["z_mean"].values[q] - centre[-LATENT:]
        assert (abs(off) < 4.5 * answer["marginals"]["z_mcse"].values[q]).all()
    mixed = factors.query(["c"], rows=[{"z": np.zeros(2)}, {"a": 1.0}], budget=4000)
    for q, (known, value) in enumerate((([3, 4], [0.0, 0.0]), ([0], [1.0]))):
        centre, _ = given(gaussian, known, np.array(value))
        at = 2 if q == 0 else 1
        assert abs(mixed["marginals"]["c_mean"].values[q] - centre[at]) < 4.5 * mixed["marginals"]["c_mcse"].values[q]


def test_what_cannot_be_asked_or_given_is_said_in_one_line(factors):
    for targets, evidence, told in (
        (["zz"], {}, r"unknown variable 'zz'; did you mean 'z'"),
        (["a"], {"z": genprob.Masked(np.zeros(2), np.array([True, False]))}, "latent 'z' is given in part; give all"),
        (["a"], {"z": np.zeros(3)}, r"'z' has the shape \(2,\), the given value \(3,\)"),
        (["z"], {"z": np.zeros(2)}, "target 'z' is also given"),
        (None, {"z": np.zeros(2), "a": 1.0, "b": 1.0, "c": 1.0}, "every variable of the data is given"),
    ):
        with pytest.raises(UsageError, match=told):
            factors.query(targets, evidence)
    with pytest.raises(UsageError, match="audit=True plants variables of the data"):
        factors.query(["z"], {"a": 1.0}, audit=True)
    with pytest.raises(UsageError, match="a latent is given, and chains move all of them"):
        factors.query(["a"], {"z": np.zeros(2)}, strategy="latent-hmc")
    words = factors.explain(["z"], {"a": 1.0})
    assert words.chosen == "importance" and "it knows variables of the data only" in str(words)


def test_an_ordinary_query_is_as_before_and_the_callers_numbers_too(factors):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    assert factors.variables.names == ("a", "b", "c", "z") and factors.variables["z"].role == "latent"
    answer = factors.query(["z"], {"a": 1.0}, draws=10)
    assert torch.equal(torch.get_rng_state(), before)
    assert (
        answer.attrs["calibration"] == "unknown"
        and "audits plant variables of the data only" in answer.attrs["reasons"]
    )
    assert factors.schema.names == ("a", "b", "c") and "prior" in factors.query(["a"], {"b": 1.0}, draws=10)


class Causes(genprob.Model):
    """Two discrete causes of one row."""

    def __init__(self, schema):
        super().__init__(schema)
        assert self.emission_width == 1
        self.centre = nn.Parameter(torch.tensor([[-1.0, 0.2, 1.5], [0.4, -0.7, 0.9]])[:, :, None])

    def model(self, batch):
        with batch.plate():
            on = pyro.sample("on", dist.Bernoulli(0.3), infer={"enumerate": "parallel"})
            k = pyro.sample("k", dist.Categorical(torch.tensor([0.5, 0.2, 0.3])), infer={"enumerate": "parallel"})
            self.emit(self.centre[on.long(), k], batch)

    def guide(self, batch):
        pass


@pytest.mark.parametrize("strategy", [None, "importance"])
def test_discrete_causes_are_asked_and_given(strategy):
    joint = genprob.fit({"x": np.random.default_rng(0).normal(size=50)}, Causes, steps=3, schema={"x": "real"})
    assert isinstance(joint.variables["on"].support, Binary)
    assert joint.variables["k"].support == Categorical(("0", "1", "2"))
    heads = joint.model.heads
    unit, loc = float(heads.encoder.scale[0]), float(heads.encoder.loc[0])
    law = stats.norm(joint.model.centre.detach().numpy()[..., 0] * unit + loc, float(heads.scale().detach()[0]) * unit)
    prior = np.log(np.outer([0.7, 0.3], [0.5, 0.2, 0.3]))
    table = prior + law.logpdf(0.4)
    exact = np.exp(table - special.logsumexp(table)).sum(0)
    answer = joint.query(["k"], {"x": 0.4}, budget=4000, strategy=strategy)
    assert answer.attrs["strategy"] == (strategy or "enumeration")
    assert np.allclose(answer["marginals"]["k_pmf"].values, exact, atol=0.04)
    answer = joint.query(["k"], {"x": 0.4, "on": 1}, budget=4000, strategy=strategy)
    assert np.allclose(answer["marginals"]["k_pmf"], special.softmax(table[1]), atol=0.04)
    assert answer.attrs["log_evidence"] == pytest.approx(
        special.logsumexp(table[1]), abs=1e-6 if strategy is None else 0.1
    )
    answer = joint.query(["x"], {"k": genprob.OneOf("0", "2"), "on": 0}, budget=4000, strategy=strategy)
    assert answer.attrs["log_evidence"] == pytest.approx(math.log(0.7 * 0.8), abs=1e-6 if strategy is None else 0.1)


def test_supports_of_sites():
    value = torch.ones(1, 3)
    for law, support in (
        (dist.Normal(0.0, 1.0), Real()),
        (dist.Gamma(1.0, 1.0), Positive()),
        (dist.Beta(1.0, 1.0).expand([3]).to_event(1), Interval(0, 1)),
        (dist.Uniform(-1.0, 4.0), Interval(-1, 4)),
        (dist.Poisson(1.0), Count()),
        (dist.Dirichlet(torch.ones(3)), Real()),
        (dist.OneHotCategorical(torch.ones(3)), Real()),
    ):
        found = roles.variable("v", law, value, "latent")
        assert found.support == support and found.dims == ("v_dim_0",) and found.role == "latent"
