"""Log-densities of what programs leave unknown, against the same written out by hand, and what is refused."""

import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy import special, stats

from genprob.data.batch import as_batch
from genprob.data.infer import infer_schema
from genprob.data.readers import read
from genprob.data.schema_file import read_schema
from genprob.data.table import Table
from genprob.engine.unknowns import Unknowns
from genprob.errors import DataError, PluginError, UsageError
from genprob.model import Model

X = np.array([0.3, -1.2, 2.5, 0.9, 3.1])


def rows(data, schema):
    stated = read_schema(schema)
    ds = read(data, schema=stated)
    return as_batch(Table.from_dataset(infer_schema(ds, stated, None), ds))


@pytest.fixture
def reals():
    return rows({"x": X}, {"x": "real"})


class Double(Model):
    precision = torch.float64


class Normal(Double):
    """Mean and standard deviation of rows."""

    def model(self, batch):
        mu = pyro.sample("mu", dist.Normal(0.0, 10.0))
        sigma = pyro.sample("sigma", dist.HalfNormal(5.0))
        pyro.deterministic("ratio", mu / sigma)
        with batch.plate():
            pyro.sample("x", dist.Normal(mu, sigma), obs=batch["x"])


class Mixture(Double):
    """Two components whose assignments are of the rows, and a flag of the whole that moves both."""

    def model(self, batch):
        weight = pyro.sample("weight", dist.Beta(2.0, 3.0))
        flag = pyro.sample("flag", dist.Bernoulli(0.3))
        with pyro.plate("components", 2):
            loc = pyro.sample("loc", dist.Normal(0.0, 3.0))
        with batch.plate():
            k = pyro.sample("k", dist.Bernoulli(weight))
            pyro.sample("x", dist.Normal(loc[k.long()] + flag, 1.0), obs=batch["x"])


class Codes(Double):
    """A latent of each row, non-centred."""

    def model(self, batch):
        tau = pyro.sample("tau", dist.Exponential(1.0))
        with batch.plate():
            eta = pyro.sample("eta", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
            pyro.deterministic("theta", tau * eta)
            pyro.sample("x", dist.Normal(tau * eta.sum(-1), 1.0), obs=batch["x"])


def test_a_density_with_its_jacobian(reals):
    unknowns = Unknowns(Normal(reals.schema), reals)
    at = torch.tensor([[0.5, 0.2], [-1.0, 1.3], [4.0, -0.7]], dtype=torch.float64)
    mu, sigma = at[:, 0].numpy(), at[:, 1].exp().numpy()
    exact = stats.norm.logpdf(mu, 0, 10) + stats.halfnorm.logpdf(sigma, scale=5) + np.log(sigma)
    exact += stats.norm.logpdf(X[:, None], mu, sigma).sum(0)
    assert np.allclose(unknowns.log_density(at), exact) and np.allclose(unknowns.log_densities(at), exact)
    value, gradient = unknowns.value_and_gradient(at)
    assert np.allclose(value, exact)
    z = at.clone().requires_grad_()
    slow = torch.stack([unknowns._one(row) for row in z])
    assert torch.allclose(gradient, torch.autograd.grad(slow.sum(), z)[0])
    named = unknowns.named(at)
    assert np.allclose(named["sigma"], sigma) and np.allclose(named["ratio"], mu / sigma)
    assert unknowns.roles == {"mu": "parameter", "sigma": "parameter", "ratio": "parameter"}


def test_discrete_sites_are_summed_row_by_row_and_over_the_whole(reals):
    unknowns = Unknowns(Mixture(reals.schema), reals)
    at = torch.tensor([[0.4, 1.0, -2.0], [-1.5, 0.0, 0.7]], dtype=torch.float64)
    w, loc = special.expit(at[:, 0].numpy()), at[:, 1:].numpy()
    exact = []
    for c in range(2):
        parts = []
        for flag, p in ((0, 0.7), (1, 0.3)):
            low, high = (stats.norm.pdf(X, loc[c, k] + flag) for k in (0, 1))
            parts.append(math.log(p) + np.log((1 - w[c]) * low + w[c] * high).sum())
        prior = stats.beta.logpdf(w[c], 2, 3) + stats.norm.logpdf(loc[c], 0, 3).sum()
        exact.append(prior + np.log(w[c] * (1 - w[c])) + special.logsumexp(parts))
    assert np.allclose(unknowns.log_density(at), exact)
    assert np.allclose(unknowns.value_and_gradient(at)[0], exact)
    assert set(unknowns.named(at)) == {"weight", "loc"}


def test_latents_of_each_row_are_part_of_the_position(reals):
    unknowns = Unknowns(Codes(reals.schema), reals)
    assert unknowns.width == 1 + 2 * len(X) and unknowns.roles == {
        "tau": "parameter", "eta": "latent", "theta": "latent"
    }  # fmt: skip
    assert unknowns.dims == {"eta": ("row",), "theta": ("row",)}
    torch.manual_seed(0)
    at = torch.randn(3, unknowns.width, dtype=torch.float64)
    tau, eta = at[:, :1].exp().numpy(), at[:, 1:].reshape(3, len(X), 2).numpy()
    exact = stats.expon.logpdf(tau[:, 0]) + at[:, 0].numpy() + stats.norm.logpdf(eta).sum((1, 2))
    exact += stats.norm.logpdf(X, tau * eta.sum(-1)).sum(1)
    assert np.allclose(unknowns.log_density(at), exact)
    named = unknowns.named(at)
    assert named["eta"].shape == (3, 5, 2) and np.allclose(named["theta"], tau[:, :, None] * eta)


def test_a_program_that_looks_at_its_values_goes_chain_by_chain(reals):
    class Branching(Normal):
        def model(self, batch):
            mu = pyro.sample("mu", dist.Normal(0.0, 10.0))
            with batch.plate():
                pyro.sample("x", dist.Normal(mu if float(mu) > 0 else 2 * mu, 1.0), obs=batch["x"])

    unknowns = Unknowns(Branching(reals.schema), reals)
    at = torch.tensor([[0.5], [-1.0]], dtype=torch.float64)
    exact = [stats.norm.logpdf(m, 0, 10) + stats.norm.logpdf(X, loc).sum() for m, loc in ((0.5, 0.5), (-1.0, -2.0))]
    value, gradient = unknowns.value_and_gradient(at)
    assert np.allclose(value, exact)
    assert np.allclose(gradient[:, 0], [(X - 0.5).sum() - 0.005, 2 * (X + 2).sum() + 0.01])


def test_cells_that_are_missing_say_nothing():
    class Two(Double):
        def model(self, batch):
            mu = pyro.sample("mu", dist.Normal(0.0, 1.0))
            with batch.plate():
                pyro.sample("x", dist.Normal(mu, 1.0), obs=batch["x"])
                pyro.sample("y", dist.Normal(mu, 2.0), obs=batch["y"])

    class Line(Double):
        def model(self, batch):
            slope = pyro.sample("slope", dist.Normal(0.0, 1.0))
            with batch.plate():
                pyro.sample("y", dist.Normal(slope * batch["x"], 1.0), obs=batch["y"])

    y = np.array([1.0, 2.0, np.nan, 0.5, np.nan])
    batch = rows({"x": X, "y": y}, {"x": "real", "y": "real"})
    at = torch.tensor([[0.4]], dtype=torch.float64)
    exact = stats.norm.logpdf(0.4) + stats.norm.logpdf(X, 0.4).sum()
    known = y[~np.isnan(y)]
    assert np.allclose(
        Unknowns(Two(batch.schema), batch).log_density(at), exact + stats.norm.logpdf(known, 0.4, 2).sum()
    )
    line = Unknowns(Line(batch.schema), batch)
    seen = ~np.isnan(y)
    exact = stats.norm.logpdf(0.4) + stats.norm.logpdf(y[seen], 0.4 * X[seen]).sum()
    assert np.allclose(line.log_density(at), exact)
    turned = rows({"x": y, "y": X}, {"x": "real", "y": "real"})
    with pytest.raises(DataError, match="variable 'x': missing in 2 rows, and the program reads it"):
        Unknowns(Line(turned.schema), turned)


def test_what_cannot_be_sampled_is_said_in_one_line(reals):
    class Nothing(Double):
        def model(self, batch):
            with batch.plate():
                z = pyro.sample("z", dist.Normal(0.0, 1.0))
                pyro.sample("x", dist.Normal(z, 1.0), obs=batch["x"])

    class Namesake(Double):
        def model(self, batch):
            mu = pyro.sample("x", dist.Normal(0.0, 1.0))
            with batch.plate():
                pyro.sample("y", dist.Normal(mu, 1.0), obs=batch["x"])

    class Endless(Double):
        def model(self, batch):
            rate = pyro.sample("rate", dist.Gamma(1.0, 1.0))
            with batch.plate():
                n = pyro.sample("n", dist.Poisson(rate))
                pyro.sample("x", dist.Normal(n, 1.0), obs=batch["x"])

    class Many(Double):
        def model(self, batch):
            rate = pyro.sample("rate", dist.Gamma(1.0, 1.0))
            with batch.plate():
                z = pyro.sample("z", dist.Normal(0.0, rate).expand([9000]).to_event(1))
                pyro.sample("x", dist.Normal(z[..., 0], 1.0), obs=batch["x"])

    class Impossible(Double):
        def model(self, batch):
            top = pyro.sample("top", dist.Uniform(0.0, 1.0))
            with batch.plate():
                pyro.sample("x", dist.Uniform(0.0, top), obs=batch["x"])

    schema = reals.schema
    for model, error, told in (
        (Nothing, UsageError, r"no continuous unknown outside batch\.plate"),
        (Namesake, PluginError, "a latent site is named 'x', like a variable"),
        (Endless, UsageError, "discrete site 'n' takes endlessly many values"),
        (Many, UsageError, "45001 unknown numbers for 5 rows, and chains take 20000"),
    ):
        with pytest.raises(error, match=told) as found:
            Unknowns(model(schema), reals)
        assert "\n" not in str(found.value)
    with pytest.raises(UsageError, match="no start of finite log-density"), pyro.validation_enabled(False):
        Unknowns(Impossible(schema), reals).positions(2)
