"""The evidence lower bound against closed forms."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch

from genprob.data.batch import as_batch
from genprob.data.infer import infer_schema
from genprob.data.readers import read
from genprob.data.table import Table
from genprob.engine.blocks import Blocks
from genprob.engine.losses.elbo import elbo
from genprob.model import Model
from genprob_mixture.mixture import Mixture


class Latent(Model):
    """z ~ N(0, 1), x | z ~ N(z, 1); the guide is N(a x, s), exact at a = 1/2, s^2 = 1/2."""

    def __init__(self, schema, a=0.5, s=0.5**0.5):
        super().__init__(schema)
        self.a = torch.nn.Parameter(torch.tensor(a, dtype=torch.float64))
        self.log_s = torch.nn.Parameter(torch.tensor(math.log(s), dtype=torch.float64))

    def model(self, batch):
        with batch.plate():
            z = pyro.sample("z", dist.Normal(torch.zeros(()).double(), 1.0))
            pyro.sample("x", dist.Normal(z, 1.0), obs=batch.values[:, 0])

    def guide(self, batch):
        with batch.plate():
            pyro.sample("z", dist.Normal(self.a * batch.values[:, 0], self.log_s.exp()))


@pytest.fixture
def rows(batch_of):
    return batch_of(torch.linspace(-2, 3, 12)[:, None])


def value(model, rows, particles=1):
    loss = elbo(model, particles=particles)(Blocks({"model": model}), rows)
    return loss[0] if isinstance(loss, tuple) else loss


def test_with_the_exact_guide_it_is_the_log_evidence_without_noise(rows):
    evidence = dist.Normal(0.0, math.sqrt(2)).log_prob(rows.values[:, 0]).mean()
    for _ in range(3):
        assert value(Latent(rows.schema), rows).item() == pytest.approx(-evidence.item(), abs=1e-7)


def test_any_other_guide_gives_less(rows):
    """By KL(q, p(z | x)), known for Gaussians."""
    torch.manual_seed(0)
    model = Latent(rows.schema, a=0.2, s=1.0)
    gap = torch.distributions.kl_divergence(
        dist.Normal(0.2 * rows.values[:, 0], 1.0), dist.Normal(0.5 * rows.values[:, 0], math.sqrt(0.5))
    ).mean()
    evidence = dist.Normal(0.0, math.sqrt(2)).log_prob(rows.values[:, 0]).mean()
    found = sum(value(model, rows, particles=200).item() for _ in range(5)) / 5
    assert found == pytest.approx((gap - evidence).item(), abs=0.03)


def test_batches_estimate_the_whole_without_bias(rows):
    """Mean over the parts of an epoch, weighted by their rows, is the whole; the guide is exact, so without noise."""
    model = Latent(rows.schema)
    parts = [rows.take(i) for i in torch.arange(12).split(5)]
    found = sum(len(part) / 12 * value(model, part).item() for part in parts)
    assert found == pytest.approx(value(model, rows).item(), abs=1e-9)


def test_gradients_reach_the_parameters_and_no_store(rows):
    pyro.clear_param_store()
    model = Latent(rows.schema, a=0.0, s=1.0)
    value(model, rows).backward()
    assert model.a.grad is not None and model.a.grad.abs() > 0 and model.log_s.grad.abs() > 0
    assert not list(pyro.get_param_store().keys())


def test_enumerated_sites_are_summed_out(table, schema):
    """A mixture's bound with its exact guide is the log-likelihood: in encoded coordinates, without noise."""
    data = Table.from_dataset(infer_schema(read(table, schema=schema), None), read(table))
    batch = as_batch(data)
    mixture = Mixture(data.schema, components=3)
    mixture.prepare(batch, seed=0)
    likelihood = torch.logsumexp(mixture.weights() + mixture.component_log_density(batch), 1).mean()
    assert value(mixture, batch).item() == pytest.approx(-likelihood.item(), abs=1e-9)
