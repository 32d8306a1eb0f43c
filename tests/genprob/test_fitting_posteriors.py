"""Posteriors of Pyro programs through `genprob.fit`: closed forms, published references, ArviZ's own figures."""

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch

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
