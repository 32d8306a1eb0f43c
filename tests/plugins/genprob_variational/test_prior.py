"""Priors: densities that integrate to one and agree with their draws."""

import importlib.util

import numpy as np
import pytest
import torch

from genprob_variational.prior import make

from .conftest import linear, whole

NAMES = ["normal", "mixture", "vamp", pytest.param("flow", marks=pytest.mark.skipif(
    importlib.util.find_spec("zuko") is None, reason="zuko is not installed"))]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_it_integrates_to_one_and_draws_agree(reals, rows, name):
    vae = linear(reals, rows)
    with torch.no_grad():
        vae.encoder[0].bias[2:] = -0.5
    prior = make(name, 2, 3, vae)
    prior.prepare(vae.features(whole(reals, rows)))
    side = torch.linspace(-9, 9, 361)
    grid = torch.cartesian_prod(side, side)
    torch.manual_seed(0)
    with torch.no_grad():
        law = prior.law()
        mass = law.log_prob(grid).exp() * (side[1] - side[0]) ** 2
        drawn = law.sample((20_000,))
    assert float(mass.sum()) == pytest.approx(1, abs=0.01)
    inside = (grid.abs() < 0.825).all(1)
    assert float(mass[inside].sum()) == pytest.approx(float((drawn.abs() < 0.825).all(1).double().mean()), abs=0.02)
    assert np.allclose((mass[:, None] * grid).sum(0), drawn.mean(0), atol=0.05)


def test_the_vamp_prior_is_the_guide_at_its_inputs(reals, rows):
    vae = linear(reals, rows)
    prior = make("vamp", 2, 4, vae)
    prior.prepare(vae.features(whole(reals, rows)))
    z = torch.randn(5, 2)
    with torch.no_grad():
        loc, scale = vae.encode(prior.inputs)
        each = torch.distributions.Normal(loc, scale).log_prob(z[:, None]).sum(-1)
        assert torch.allclose(prior.law().log_prob(z), torch.logsumexp(each, 1) - np.log(4), atol=1e-5)
    assert not any(name.startswith("prior.vae") for name, _ in vae.named_parameters())
