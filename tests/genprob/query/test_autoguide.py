"""Guides that are made: fitted, they answer as Gaussian algebra and quadrature say; kept with the run."""

import numpy as np
import pyro
import pytest
import torch
from pyro.distributions import Bernoulli, LogNormal, Normal
from scipy import stats
from torch import nn

import genprob
from genprob.engine.losses.weights import rowwise
from genprob.errors import PluginError
from genprob.query.autoguide import AutoGuided


class Factors(AutoGuided):
    """x = W z + m + noise, without a guide."""

    def __init__(self, schema, *, latent: int = 2):
        super().__init__(schema, hidden=())
        self.latent = latent
        self.decoder = nn.Linear(latent, self.emission_width)

    def model(self, batch):
        with batch.plate():
            z = pyro.sample("z", Normal(0.0, 1.0).expand([self.latent]).to_event(1))
            self.emit(self.decoder(z), batch)


class Size(AutoGuided):
    """A positive latent and a real one, both of the row, that move the two columns."""

    def model(self, batch):
        with batch.plate():
            s = pyro.sample("s", LogNormal(0.0, 0.5))
            t = pyro.sample("t", Normal(0.0, 1.0))
            self.emit(torch.stack([s + t, s - t], -1).float(), batch)


class Switch(AutoGuided):
    def model(self, batch):
        with batch.plate():
            k = pyro.sample("k", Bernoulli(0.5))
            self.emit(torch.stack([k, -k], -1), batch)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    return rng.normal(size=(400, 2)) @ np.array([[1.0, 0.8, -0.5, 0.3], [0.0, 0.6, 0.9, -1.0]]) + 0.5 * rng.normal(
        size=(400, 4)
    )


@pytest.fixture(scope="module")
def run(rows, tmp_path_factory):
    inference = {"name": "elbo", "lr": 0.03, "holdout": 0.0, "amortise": 1.0, "batch_size": 200}
    out = tmp_path_factory.mktemp("auto") / "run"
    return genprob.fit(dict(zip("abcd", rows.T, strict=True)), Factors, out=out, steps=250, inference=inference)


def test_a_made_guide_fits_factor_analysis(run, rows):
    model = run.model
    unit = model.heads.encoder.scale.numpy()
    loading = model.decoder.weight.detach().double().numpy() * unit[:, None]
    mean = model.decoder.bias.detach().double().numpy() * unit + model.heads.encoder.loc.numpy()
    covariance = loading @ loading.T + np.diag((model.heads.scale().detach().numpy() * unit) ** 2)
    assert stats.multivariate_normal(mean, covariance).logpdf(rows).mean() > (
        stats.multivariate_normal(rows.mean(0), np.cov(rows.T)).logpdf(rows).mean() - 0.25
    )
    answer = run.query(["c"], {"a": 1.0, "b": 0.5}, strategy="importance", budget=4000)
    gain = np.linalg.solve(covariance[:2, :2], covariance[:2, 2])
    centre = mean[2] + gain @ (np.array([1.0, 0.5]) - mean[:2])
    assert answer.attrs["computation"] == "ok"
    assert abs(float(answer["marginals"]["c_mean"]) - centre) < 5 * float(answer["marginals"]["c_mcse"])
    truth = stats.multivariate_normal(mean[:2], covariance[:2, :2]).logpdf([1.0, 0.5])
    assert abs(answer.attrs["log_evidence"] - truth) < 5 * answer.attrs["log_evidence_se"]


def test_the_guide_is_better_than_the_prior(run, rows):
    """Effective proposals: were the made guide never trained or not loaded, they would be as few as the prior's."""
    row = dict(zip("abc", rows[3, :3], strict=True))
    again = genprob.load(run.run.path)
    for joint in (run, again):
        answer = joint.query(["d"], row, strategy="importance", budget=2000)
        assert answer.attrs["ess"] > 600


def test_bounded_latents_are_guided_where_they_live():
    rng = np.random.default_rng(1)
    data = dict(zip("ab", rng.normal(size=(2, 200)), strict=True))
    joint = genprob.fit(data, Size, steps=120, inference={"name": "elbo", "lr": 0.02, "holdout": 0.0})
    assert rowwise(joint.model, joint.reference)  # drawn with gradients, row by row
    heads = joint.model.heads
    unit, middle, sd = heads.encoder.scale.numpy(), heads.encoder.loc.numpy(), heads.scale().detach().numpy()
    s, t = np.meshgrid(np.linspace(1e-3, 8, 800), np.linspace(-5, 5, 800), indexing="ij")
    prior = stats.lognorm(0.5).pdf(s) * stats.norm.pdf(t) * (8 / 800) * (10 / 800)
    told = stats.norm((s + t) * unit[0] + middle[0], sd[0] * unit[0]).pdf(1.3)
    answer = joint.query(["b"], {"a": 1.3}, strategy="importance", budget=8000)
    assert abs(answer.attrs["log_evidence"] - np.log((prior * told).sum())) < 5 * answer.attrs["log_evidence_se"] + 0.01
    wanted = ((prior * told) * ((s - t) * unit[1] + middle[1])).sum() / (prior * told).sum()
    assert abs(float(answer["marginals"]["b_mean"]) - wanted) < 5 * float(answer["marginals"]["b_mcse"]) + 0.01


def test_a_discrete_latent_is_refused():
    with pytest.raises(PluginError, match="'k' is discrete"):
        genprob.fit({"a": [0.5, 1.5, 2.5], "b": [1.5, 0.5, 0.25]}, Switch, steps=1)
