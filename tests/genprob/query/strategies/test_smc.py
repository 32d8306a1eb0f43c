"""Annealed SMC: the mode that a guide misses, densities in bounded coordinates, and what counts as a failure."""

import numpy as np
import pyro
import pytest
import torch
from pyro.distributions import Bernoulli, LogNormal, Normal
from scipy import integrate, stats
from torch import nn

from genprob import Masked, OneOf, Soft, Within
from genprob.data.batch import Batch
from genprob.data.measure import Cell
from genprob.data.schema import Schema, Variable
from genprob.data.support import Categorical, Count, Interval, Positive, Real
from genprob.engine.kernels.smc import Annealed
from genprob.joint import Joint
from genprob.model import Model
from genprob.query.batch import QueryBatch
from genprob.query.programs import capable
from genprob.query.strategies.smc import AnnealedSMC, _Islands


def joint_over(schema, model, rows):
    values = torch.as_tensor(rows, dtype=torch.float64)
    batch = Batch(schema, values, torch.ones_like(values, dtype=torch.bool), torch.arange(len(rows)), len(rows))
    return Joint(schema, model.eval(), run=None, reference=batch, rows=len(rows))


# --- latent programs

WIDTH, NOISE = 3, 0.05


class Squares(Model):
    """x_i = z_i^2 + noise for i < 3 and y = 2 z_0 + z_1 + noise; the guide knows the positive roots only."""

    def __init__(self, schema):
        super().__init__(schema)
        self.total = nn.Parameter(torch.tensor(0.0))
        assert self.emission_width == WIDTH + 1

    def model(self, batch):
        with batch.plate():
            z = pyro.sample("z", Normal(0.0, 1.0).expand([WIDTH]).to_event(1))
            self.emit(torch.cat([z**2, 2 * z[:, :1] + z[:, 1:2]], 1), batch)

    def guide(self, batch):
        known = torch.stack([batch[f"x{i}"] for i in range(WIDTH)], 1).clamp(min=0.01)
        with batch.plate():
            pyro.sample("z", Normal(known.sqrt(), 0.06).to_event(1))


@pytest.fixture(scope="module")
def squares():
    schema = Schema((*(Variable(f"x{i}", Real()) for i in range(WIDTH)), Variable("y", Real())))
    model = capable(Squares)(schema)
    with torch.no_grad():
        model.heads.log_scale.fill_(np.log(NOISE - 1e-3))
    rng = np.random.default_rng(0)
    z = rng.normal(size=(300, WIDTH))
    joint = joint_over(schema, model, np.concatenate([z**2, 2 * z[:, :1] + z[:, 1:2]], 1))
    assert float(model.heads.scale()[0].detach()) == pytest.approx(NOISE, abs=1e-3)
    return joint


def evidence(values, noise):
    def of_one(x):
        f = lambda z: stats.norm.pdf(z) * stats.norm.pdf(x, z**2, noise)  # noqa: E731
        root = np.sqrt(x)
        return 2 * integrate.quad(f, 0, 4, points=[root], limit=200)[0]

    return sum(np.log(of_one(x)) for x in values)


def test_the_modes_that_a_guide_misses_are_found(squares):
    given = {"x0": 1.5, "x1": 0.8, "x2": 2.0}
    truth = evidence(given.values(), float(squares.model.heads.scale()[0].detach()))
    missed = squares.query(["y"], given, draws=1000, seed=0, strategy="importance")
    found = squares.query(["y"], given, draws=1000, seed=0, strategy="smc")
    assert truth - missed.attrs["log_evidence"] > 1.5  # seven modes of eight
    assert abs(found.attrs["log_evidence"] - truth) < 4 * found.attrs["log_evidence_se"] < 0.6
    assert found.attrs["computation"] == "ok"
    y = found["posterior"]["y"].values.ravel()
    modes = [2 * a * np.sqrt(1.5) + b * np.sqrt(0.8) for a in (-1, 1) for b in (-1, 1)]
    near = np.abs(y[:, None] - modes).argmin(1)
    assert (np.bincount(near, minlength=4) / len(y) > 0.12).all()
    mean, mcse = (float(found["marginals"][f"y_{key}"]) for key in ("mean", "mcse"))
    assert abs(mean) < 4 * mcse < 1.0
    told = found["sample_stats"]
    assert float(told["temperatures"]) > 3 and 0.5 < float(told["acceptance"]) <= 1


def test_the_claimed_error_of_the_evidence_is_the_true_one(squares):
    given = {"x0": 0.5, "x1": Within(0.5, 1.5)}
    rows = [given] * 40
    answer = squares.query(["y"], rows=rows, draws=10, seed=1, strategy="smc", budget=512)
    noise = float(squares.model.heads.scale()[0].detach())
    f = lambda z: stats.norm.pdf(z) * (stats.norm.cdf(1.5, z**2, noise) - stats.norm.cdf(0.5, z**2, noise))  # noqa: E731
    truth = evidence([0.5], noise) + np.log(2 * integrate.quad(f, 0, 4, points=[0.7, 1.22], limit=200)[0])
    found, error = (answer["sample_stats"][k].values for k in ("log_evidence", "log_evidence_se"))
    z = (found - truth) / error
    assert abs(z.mean()) < 0.7 and 0.5 < z.std() < 1.4
    mean, mcse = (answer["marginals"][f"y_{k}"].values for k in ("mean", "mcse"))
    assert abs((mean / mcse).mean()) < 0.7 and 0.5 < (mean / mcse).std() < 1.5


class Positives(Model):
    """Latents with bounds: x ~ N(log z, .3) with z ~ LogNormal(.5, 1); then x is N(.5, 1 + .09) whatever z's scale."""

    def __init__(self, schema):
        super().__init__(schema)
        assert self.emission_width == 1

    def model(self, batch):
        with batch.plate():
            z = pyro.sample("z", LogNormal(torch.tensor(0.5), torch.tensor(1.0)))
            self.emit(z.log()[:, None], batch)

    def guide(self, batch):
        with batch.plate():
            pyro.sample("z", LogNormal(torch.tensor(0.0), torch.tensor(1.0)))


def test_bounded_latents_keep_their_jacobian():
    schema = Schema((Variable("x", Real()),))
    model = capable(Positives)(schema)
    with torch.no_grad():
        model.heads.log_scale.fill_(np.log(0.299))
    joint = joint_over(schema, model, np.random.default_rng(0).normal(size=(50, 1)))
    rows = [{"x": Soft(2.5, sd=0.1)}] * 2
    queries = QueryBatch.from_evidence(schema, rows)
    torch.manual_seed(0)
    answer = AnnealedSMC().answer(joint, queries, 5, 512)
    truth = stats.norm.logpdf(2.5, 0.5, np.sqrt(1 + 0.09 + 0.01))
    assert answer.log_evidence.mean() == pytest.approx(truth, abs=0.15)


class Coins(Model):
    def __init__(self, schema):
        super().__init__(schema)
        assert self.emission_width == 1

    def model(self, batch):
        with batch.plate():
            z = pyro.sample("z", Bernoulli(torch.tensor(0.5)))
            self.emit(z[:, None], batch)

    def guide(self, batch):
        with batch.plate():
            pyro.sample("z", Bernoulli(torch.tensor(0.5)))


def test_discrete_latents_are_refused_and_left_to_enumeration():
    schema = Schema((Variable("x", Real()),))
    joint = joint_over(schema, capable(Coins)(schema), np.zeros((5, 1)))
    said = {w.strategy: w for w in joint.explain(["x"], {}).offers}
    assert "latent 'z' is discrete" in said["smc"].reason and said["enumeration"].offered


# --- joint densities

SCHEMA = Schema(
    (
        Variable("x", Real()),
        Variable("p", Positive()),
        Variable("u", Interval(0, 2)),
        Variable("c", Real(), Cell(0.5)),
        Variable("n", Count()),
        Variable("g", Categorical(("a", "b", "c"))),
    )
)
SHARES = np.array([0.2, 0.3, 0.5])


class Independent(Model):
    """Everything independent, three nats too high, so that every evidence is a product of textbook terms."""

    precision = torch.float64
    log_partition, log_partition_se = 3.0, 0.0

    def log_joint(self, values):
        x, p, u, c, n, g = values.unbind(-1)
        cell = torch.special.ndtr(c + 0.25) - torch.special.ndtr(c - 0.25)
        out = torch.distributions.Normal(1.0, 2.0).log_prob(x) + torch.distributions.LogNormal(0.3, 0.5).log_prob(p)
        out = out + torch.distributions.Beta(2.0, 3.0).log_prob(u / 2) - np.log(2) + cell.log()
        return 3.0 + out + torch.distributions.Poisson(4.0).log_prob(n) + torch.as_tensor(SHARES).log()[g.long()]


@pytest.fixture(scope="module")
def independent():
    rng = np.random.default_rng(0)
    rows = [rng.normal(1, 2, 400), rng.lognormal(0.3, 0.5, 400), 2 * rng.beta(2, 3, 400),
            np.round(2 * rng.normal(size=400)) / 2, rng.poisson(4, 400), rng.choice(3, 400, p=SHARES)]  # fmt: skip
    return joint_over(SCHEMA, Independent(SCHEMA), np.stack(rows, 1))


def between(law, lo, hi):
    return np.log(law.cdf(hi) - law.cdf(lo))


X, P, U = stats.norm(1, 2), stats.lognorm(0.5, scale=np.exp(0.3)), stats.beta(2, 3, scale=2)
EVIDENCE = {
    "nothing": ({}, 0.0),
    "points": ({"x": 0.5, "c": 1.0, "n": 3, "g": "b"},
               X.logpdf(0.5) + between(stats.norm, 0.75, 1.25) + stats.poisson.logpmf(3, 4) + np.log(0.3)),
    "intervals": ({"x": Within(0, 1.5), "p": Within(2, None), "u": Within(None, 0.4)},
                  between(X, 0, 1.5) + np.log(P.sf(2)) + U.logcdf(0.4)),
    "half-lines": ({"x": Within(None, -1), "n": Within(6, None), "c": Within(0.5, None)},
                   X.logcdf(-1) + stats.poisson.logsf(5, 4) + np.log(stats.norm.sf(0.25))),
    "listed": ({"n": Within(2, 5), "c": OneOf(-0.5, 1.5), "g": OneOf("a", "c")},
               np.log(stats.poisson.pmf([2, 3, 4, 5], 4).sum()) + np.log(0.7)
               + np.logaddexp(between(stats.norm, -0.75, -0.25), between(stats.norm, 1.25, 1.75))),
    "noisy": ({"x": Soft(2.0, sd=0.5), "g": Soft({"a": 0.5, "b": 2.0}), "n": Soft(5.0, sd=1.0)},
              stats.norm.logpdf(2, 1, np.hypot(2, 0.5)) + np.log(0.2 * 0.5 + 0.3 * 2)
              + np.log(stats.poisson.pmf(np.arange(60), 4) @ stats.norm.pdf(5, np.arange(60), 1))),
}  # fmt: skip
MEANS = {"x": X.mean(), "p": P.mean(), "u": U.mean(), "c": 0.0, "n": 4.0}


@pytest.mark.parametrize("kind", EVIDENCE)
def test_every_kind_of_evidence_on_every_support(independent, kind):
    given, truth = EVIDENCE[kind]
    answer = independent.query(None, rows=[given] * 3, draws=300, seed=1, strategy="smc")
    found, error = (answer["sample_stats"][k].values for k in ("log_evidence", "log_evidence_se"))
    assert (np.abs(found - truth) < 4.5 * error + 0.01).all() and (error < 0.35).all()
    assert abs(found.mean() - truth) < 4 * np.sqrt((error**2).mean() / 3)
    for name, mean in MEANS.items():
        if name not in given:
            m, mcse = (answer["marginals"][f"{name}_{k}"].values for k in ("mean", "mcse"))
            assert (np.abs(m - mean) < 4.5 * mcse).all(), name
    if "g" not in given:
        pmf, mcse = (answer["marginals"][k].values for k in ("g_pmf", "g_pmf_mcse"))
        assert (np.abs(pmf - SHARES) < 4.5 * mcse).all()
    drawn = answer["posterior"]
    if "c" not in given:
        assert (drawn["c"] * 2 == np.round(drawn["c"] * 2)).all()
    if "n" not in given:
        assert (drawn["n"] >= 0).all()


class Chain(Model):
    """An array of six steps of a Gaussian walk, x_t = .8 x_(t-1) + noise, x_0 standard normal."""

    precision = torch.float64
    log_partition, log_partition_se = 0.0, 0.0

    def log_joint(self, values):
        first = torch.distributions.Normal(0.0, 1.0).log_prob(values[..., 0])
        return first + torch.distributions.Normal(0.8 * values[..., :-1], 0.6).log_prob(values[..., 1:]).sum(-1)


def test_masked_arrays_by_gradients():
    schema = Schema((Variable("x", Real(), dims=("t",), shape=(6,)),))
    loading = np.eye(6)
    noise = np.diag([1.0, *[0.6] * 5])
    for t in range(1, 6):
        loading[t, :t] = 0.8 * loading[t - 1, :t]
    covariance = loading @ noise**2 @ loading.T
    rows = np.random.default_rng(0).multivariate_normal(np.zeros(6), covariance, 200)
    joint = joint_over(schema, Chain(schema), rows)
    known, value = np.array([0, 3]), np.array([1.5, -1.0])
    full = np.zeros(6)
    full[known] = value
    answer = joint.query(None, {"x": Masked(full, np.isin(np.arange(6), known))}, draws=500, seed=0, strategy="smc")
    inner = covariance[np.ix_(known, known)]
    truth = stats.multivariate_normal(np.zeros(2), inner).logpdf(value)
    assert abs(answer.attrs["log_evidence"] - truth) < 4 * answer.attrs["log_evidence_se"] < 0.4
    mean = covariance[:, known] @ np.linalg.solve(inner, value)
    error = answer["marginals"]["x_mcse"].values
    assert (np.abs(answer["marginals"]["x_mean"].values - mean) <= 4.5 * error + 1e-12).all()
    assert (error[known] == 0).all()


# --- failures


def islands(log_ratio, ancestors=64, acceptance=0.5):
    groups, particles = 4, 64
    log_weight = torch.full((groups, particles), -np.log(particles), dtype=torch.float64)
    family = torch.arange(particles).expand(groups, -1) % ancestors
    of = torch.as_tensor(log_ratio, dtype=torch.float64)
    full = torch.ones(groups, dtype=torch.float64)
    return _Islands.of(
        Annealed(torch.zeros(groups, particles, 1), log_weight, of, family, full, acceptance * full, full > 0)
    )


def test_collapse_and_disagreement_are_said():
    assert islands([0.0, 0.01, -0.01, 0.0]).failures(True) == [""]
    assert "islands disagree" in islands([0.0, 0.0, -2.0, 0.0]).failures(True)[0]
    assert "descend from effectively 4" in islands([0.0] * 4, ancestors=1).failures(True)[0]
    assert "hardly moved" in islands([0.0] * 4, acceptance=0.001).failures(True)[0]
    assert islands([0.0] * 4, acceptance=0.001).failures(False) == [""]
    assert "no particle of 256" in islands([-np.inf] * 4).failures(True)[0]
    assert "disagree" in islands([0.0, 0.0, -np.inf, 0.0]).failures(True)[0]
