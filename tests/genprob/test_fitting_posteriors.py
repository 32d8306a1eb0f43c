"""Posteriors of Pyro programs through `genprob.fit`: closed forms, published references, ArviZ's own figures."""

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy import stats

import genprob
from genprob.engine.diagnostics import ess_bulk, mcse_mean, rhat
from genprob.errors import UsageError

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
X = np.array([1.3, 0.2, 2.9, 1.1, 3.4, 0.8, 2.2, 1.9])


class NormalGamma(genprob.Model):
    """Unknown mean and precision with their conjugate prior."""

    def model(self, batch):
        precision = pyro.sample("precision", dist.Gamma(2.0, 3.0))
        mu = pyro.sample("mu", dist.Normal(1.0, 1 / (0.5 * precision).sqrt()))
        with batch.plate():
            pyro.sample("x", dist.Normal(mu, precision.rsqrt()), obs=batch["x"])


def conjugate():
    """Means of mu and precision, variances of mu and precision."""
    n, mean = len(X), X.mean()
    kappa, a = 0.5 + n, 2.0 + n / 2
    b = 3.0 + 0.5 * ((X - mean) ** 2).sum() + 0.5 * n * (mean - 1.0) ** 2 / kappa
    return {"mu": ((0.5 * 1.0 + n * mean) / kappa, b / (kappa * (a - 1))), "precision": (a / b, a / b**2)}


@pytest.mark.parametrize(
    "method", [{"name": "nuts", "chains": 8}, {"name": "hmc", "chains": 8, "leapfrogs": 8}], ids=str
)
def test_a_conjugate_posterior(method):
    joint = genprob.fit({"x": X}, NormalGamma, inference=method | {"warmup": 150}, schema={"x": "real"}, steps=550)
    tree = joint.posterior
    for name, (mean, variance) in conjugate().items():
        draws = torch.as_tensor(tree["posterior"][name].values.T).double()
        assert tree["posterior"][name].attrs["role"] == "parameter"
        assert float(rhat(draws)) < 1.02
        assert abs(float(draws.mean()) - mean) < 4.5 * float(mcse_mean(draws))
        size = float(ess_bulk(draws))
        assert float(draws.var()) == pytest.approx(variance, rel=8 / size**0.5)
    names = {"acceptance_rate", "energy", "diverging", "n_steps", "step_size", "lp"}
    assert set(tree["sample_stats"]) == names | ({"tree_depth"} if method["name"] == "nuts" else set())
    assert all(value.dims == ("chain", "draw") for value in tree["sample_stats"].values())


def test_a_program_of_any_class_is_sampled_when_asked_and_a_plain_class_is_not():
    with pytest.raises(UsageError, match="no continuous unknown outside"):
        genprob.fit({"x": X}, "vae", inference={"name": "nuts", "warmup": 2}, schema={"x": "real"}, steps=4, latent=1)

    class Nothing(genprob.Model):
        pass

    with pytest.raises(UsageError, match="cannot be fitted by 'nuts'"):
        genprob.fit({"x": X}, Nothing, inference="nuts", schema={"x": "real"}, steps=4)


SCHOOLS = {"y": [28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0], "sigma": [15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0]}
# Reference means of posteriordb (eight_schools-eight_schools_noncentered; Magnusson et al., BSD-3-Clause), with errors.
PUBLISHED = {
    "theta": (
        [6.15050229, 4.93958114, 3.90590610, 4.79601675, 3.61443632, 4.05114758, 6.31716976, 4.88399694],
        [0.05573753, 0.04622938, 0.05423137, 0.04749358, 0.04614506, 0.04851954, 0.04987668, 0.05425116],
    ),
    "mu": ([4.41051834], [0.03303747]),
    "tau": ([3.60205952], [0.03186151]),
}


class EightSchools(genprob.Model):
    """Effects of coaching, non-centred (Rubin 1981); the error of each school is given."""

    def model(self, batch):
        mu = pyro.sample("mu", dist.Normal(0.0, 5.0))
        tau = pyro.sample("tau", dist.HalfCauchy(5.0))
        with batch.plate():
            eta = pyro.sample("eta", dist.Normal(0.0, 1.0))
            theta = pyro.deterministic("theta", mu + tau * eta)
            pyro.sample("y", dist.Normal(theta, batch["sigma"]), obs=batch["y"])


@pytest.fixture(scope="module")
def schools():
    schema = {"y": "real", "sigma": "positive"}
    return genprob.fit(
        SCHOOLS, EightSchools, inference={"name": "nuts", "warmup": 200}, schema=schema, steps=500, seed=1
    )


def test_eight_schools_as_published_and_by_quadrature(schools):
    tree = schools.posterior
    assert (
        tree["posterior"]["theta"].dims == ("chain", "draw", "row")
        and tree["posterior"]["eta"].attrs["role"] == "latent"
    )
    assert float(tree["sample_stats"]["diverging"].mean()) < 0.01
    for name, (means, errors) in PUBLISHED.items():
        draws = torch.as_tensor(np.moveaxis(tree["posterior"][name].values, 0, 1))
        off = draws.mean((0, 1)).reshape(-1).numpy() - means
        assert (abs(off) < 4.5 * np.hypot(mcse_mean(draws).reshape(-1).numpy(), errors)).all(), name
    mu, tau = np.meshgrid(np.linspace(-20, 30, 801), np.linspace(1e-3, 80, 1601), indexing="ij")
    spread = [np.hypot(tau, s) for s in SCHOOLS["sigma"]]
    log = stats.norm.logpdf(mu, 0, 5) + stats.halfcauchy.logpdf(tau, scale=5)
    log = log + sum(stats.norm.logpdf(y, mu, s) for y, s in zip(SCHOOLS["y"], spread, strict=True))
    weight = np.exp(log - log.max()) / np.exp(log - log.max()).sum()
    answer = schools.query(["mu", "tau"])
    for name, grid in (("mu", mu), ("tau", tau)):
        off = float(answer["marginals"][f"{name}_mean"]) - (weight * grid).sum()
        assert abs(off) < 4.5 * float(answer["marginals"][f"{name}_mcse"])
    new = schools.query(["y"], {"sigma": 10.0}, draws=4000)
    mean = (weight * mu).sum()
    sd = ((weight * ((mu - mean) ** 2 + tau**2)).sum() + 100) ** 0.5
    assert abs(float(new["marginals"]["y_mean"]) - mean) < 4.5 * float(new["marginals"]["y_mcse"])
    assert float(new["marginals"]["y_sd"]) == pytest.approx(sd, rel=0.08)


def test_arviz_finds_the_same(schools):
    """Where ArviZ is installed: it reads the posterior as it is, and its R-hat and sizes are ours."""
    arviz = pytest.importorskip("arviz")
    tree = schools.posterior
    groups = {name: tree[name].to_dataset() for name in ("posterior", "sample_stats")}
    table = arviz.summary(arviz.InferenceData(**groups), var_names=["mu", "tau", "theta"], round_to="none")
    answer = schools.query(["mu"])
    for row in table.index:
        name, _, place = row.partition("[")
        values = tree["posterior"][name].values
        draws = torch.as_tensor(values if not place else values[..., int(place[:-1])]).double().T
        assert float(ess_bulk(draws)) == pytest.approx(table.loc[row, "ess_bulk"], rel=1e-3)
        assert float(rhat(draws)) == pytest.approx(table.loc[row, "r_hat"], abs=1e-4)
    assert answer.attrs["rhat"] == pytest.approx(table.loc["mu", "r_hat"], abs=1e-4)
    assert answer.attrs["ess"] == pytest.approx(table.loc["mu", "ess_bulk"], rel=1e-3)


@pytest.mark.slow
def test_ranks_of_planted_truths_are_even():
    """SBC of NUTS through a program: truths from the prior, ranks among draws that are nearly independent."""
    rng, ranks = np.random.default_rng(5), {"mu": [], "precision": []}
    for seed in range(60):
        precision = rng.gamma(2.0, 1 / 3.0)
        truth = {"precision": precision, "mu": rng.normal(1.0, (0.5 * precision) ** -0.5)}
        x = rng.normal(truth["mu"], precision**-0.5, 5)
        method = {"name": "nuts", "warmup": 60, "chains": 31, "thin": 20}
        joint = genprob.fit({"x": x}, NormalGamma, inference=method, schema={"x": "real"}, steps=81, seed=seed)
        for name, value in truth.items():
            last = joint.posterior["posterior"][name].values[:, -1]
            ranks[name].append(int((last < value).sum()))
    for name, found in ranks.items():
        counts = np.histogram(found, bins=8, range=(0, 32))[0]
        assert stats.chisquare(counts).pvalue > 1e-3, (name, counts)
