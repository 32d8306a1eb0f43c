"""Importance-weighted bounds and their gradients against closed forms."""

import math
from itertools import pairwise

import pyro
import pyro.distributions as dist
import pytest
import torch

from genprob.engine.blocks import Blocks
from genprob.engine.losses.elbo import elbo
from genprob.engine.losses.iwae import iwae
from genprob.engine.losses.weights import rowwise, weights
from genprob.errors import PluginError, UsageError
from genprob.model import Model


class Latent(Model):
    """z ~ N(0, I), x | z ~ N(w . z, 1) for two latents; the guide is N(a x, s), off on purpose."""

    def __init__(self, schema):
        super().__init__(schema)
        self.w = torch.nn.Parameter(torch.tensor([1.0, 0.5], dtype=torch.float64))
        self.a = torch.nn.Parameter(torch.tensor([0.1, 0.4], dtype=torch.float64))
        self.log_s = torch.nn.Parameter(torch.tensor([-0.3, 0.1], dtype=torch.float64))

    def model(self, batch):
        with batch.plate():
            z = pyro.sample("z", dist.Normal(torch.zeros(2).double(), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z @ self.w, 1.0), obs=batch.values[:, 0])

    def guide(self, batch):
        with batch.plate():
            pyro.sample("z", dist.Normal(batch.values * self.a, self.log_s.exp()).to_event(1))

    def evidence(self, rows):
        return dist.Normal(0.0, (1 + self.w.square().sum()).sqrt()).log_prob(rows.values[:, 0])


@pytest.fixture
def rows(batch_of):
    return batch_of(torch.linspace(-2, 3, 12)[:, None])


def bound(model, rows, k, **options):
    """The bound with its standard error, over many draws."""
    many = rows.repeat(4000 if k < 10 else 400)
    with torch.no_grad():
        drawn = weights(model, many, k)
        value = torch.logsumexp(drawn.log_weight, 1) - math.log(k)
    each = value.reshape(len(rows), -1).mean(0)
    return float(each.mean()), float(each.std() / math.sqrt(len(each)))


def test_the_bound_rises_with_k_to_the_evidence(rows):
    torch.manual_seed(0)
    model = Latent(rows.schema)
    found = [bound(model, rows, k) for k in (1, 2, 5, 200)]
    evidence = model.evidence(rows).mean().item()
    for (low, a), (high, b) in pairwise(found):
        assert high - low > 3 * math.hypot(a, b)
    assert found[0][0] < evidence - 0.2
    assert found[-1][0] == pytest.approx(evidence, abs=4 * found[-1][1] + 0.005)


def test_one_draw_is_the_evidence_lower_bound(rows):
    torch.manual_seed(0)
    model = Latent(rows.schema)
    many, blocks = rows.repeat(3000), Blocks({"model": model})
    with torch.no_grad():
        single = iwae(model, k=1)(blocks, many)[0]
        lower = elbo(model)(blocks, many)[0]
    assert single.item() == pytest.approx(lower.item(), abs=0.02)
    assert lower.item() == pytest.approx(-bound(model, rows, 1)[0], abs=0.02)
    with torch.no_grad():
        five = iwae(model, k=5)(blocks, many)[0].item()
    assert five == pytest.approx(-bound(model, rows, 5)[0], abs=0.02)


def test_the_divergence_of_normals_is_taken_from_the_guide_to_the_prior(rows):
    torch.manual_seed(0)
    model = Latent(rows.schema)
    with torch.no_grad():
        exact = weights(model, rows, analytic=True).divergence[:, 0]
        drawn = weights(model, rows, 20_000).divergence.mean(1)
    assert torch.allclose(exact, drawn, atol=0.05) and not torch.allclose(exact, drawn, atol=1e-9)
    again = weights(model, rows, analytic=True).divergence[:, 0]
    assert torch.equal(exact, again)  # no draw has a part in it


def gradients(model, rows, parts=25, **options):
    """Mean gradient and its standard error, `[parameters]`, over independent parts."""
    loss, blocks = iwae(model, **options), Blocks({"model": model})
    found = []
    for _ in range(parts):
        model.zero_grad()
        loss(blocks, rows.repeat(300))[0].backward()
        found.append(torch.cat([p.grad.reshape(-1) for p in (model.w, model.a, model.log_s)]))
    stacked = torch.stack(found)
    return stacked.mean(0), stacked.std(0) / math.sqrt(parts)


def test_the_doubly_reparameterised_gradient_is_the_plain_one_with_less_noise(rows):
    torch.manual_seed(0)
    model = Latent(rows.schema)
    plain, spread = gradients(model, rows, k=8, doubly=False)
    doubly, narrow = gradients(model, rows, k=8, doubly=True)
    off = (plain - doubly) / torch.hypot(spread, narrow)
    assert off.abs().max() < 4
    assert float(plain[2:].abs().max()) > 10 * float(narrow[2:].max())  # the guide's gradient is no zero
    assert narrow[2:].mean() < 0.5 * spread[2:].mean()


def test_what_it_cannot_train_is_said(rows):
    class Enumerated(Model):
        def model(self, batch):
            with batch.plate():
                z = pyro.sample("z", dist.Categorical(torch.ones(2)))
                pyro.sample("x", dist.Normal(z.double(), 1.0), obs=batch.values[:, 0])

        def guide(self, batch):
            with batch.plate():
                pyro.sample("z", dist.Categorical(torch.ones(2)), infer={"enumerate": "parallel"})

    class Two(Model):
        def model(self, batch):
            with batch.plate():
                z = pyro.sample("z", dist.Normal(torch.zeros(()).double(), 1.0))
                y = pyro.sample("y", dist.Normal(z, 1.0))
                pyro.sample("x", dist.Normal(y, 1.0), obs=batch.values[:, 0])

        def guide(self, batch):
            with batch.plate():
                z = pyro.sample("z", dist.Normal(batch.values[:, 0], 1.0))
                pyro.sample("y", dist.Normal(z, 1.0))

    blocks = Blocks({})
    assert rowwise(Latent(rows.schema), rows) and rowwise(Two(rows.schema), rows)
    assert not rowwise(Enumerated(rows.schema), rows)
    with pytest.raises(UsageError, match="use elbo"):
        iwae(Enumerated(rows.schema))(blocks, rows)
    with pytest.raises(UsageError, match="single latent site"):
        iwae(Two(rows.schema))(blocks, rows)
    assert torch.isfinite(iwae(Two(rows.schema), doubly=False)(blocks, rows)[0])


def test_a_guide_that_ignores_a_latent_is_refused(rows):
    class Forgetful(Latent):
        def model(self, batch):
            super().model(batch)
            with pyro.plate("again", len(batch)):
                pyro.sample("w", dist.Normal(torch.zeros(()).double(), 1.0))

    for loss in (elbo(Forgetful(rows.schema)), iwae(Forgetful(rows.schema))):
        with pytest.raises(PluginError, match="never draws 'w'"):
            loss(Blocks({}), rows)


def test_beta_weighs_the_divergence(rows):
    torch.manual_seed(0)
    model, blocks = Latent(rows.schema), Blocks({})
    with torch.no_grad():
        value, metrics = elbo(model, beta=0.3)(blocks, rows)
        drawn = weights(model, rows.repeat(3000), 1)
        powered = iwae(model, k=1, beta=0.3)(blocks, rows.repeat(3000))[0]
    assert value.item() == pytest.approx((0.3 * metrics["divergence"] - metrics["likelihood"]).item())
    assert powered.item() == pytest.approx((0.3 * drawn.divergence - drawn.likelihood).mean().item(), abs=0.05)
