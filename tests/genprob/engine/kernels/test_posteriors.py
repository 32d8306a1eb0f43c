"""Posteriors with answers from elsewhere: eight schools by quadrature, and conjugate models by calibration."""

import pytest
import torch

from genprob.engine.diagnostics import ebfmi, ess, mcse_mean, rhat
from genprob.engine.kernels import HMC, NUTS, ChEES, sample

# Rubin (1981): effects of coaching in eight schools, and their standard errors.
EFFECT = torch.tensor([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0], dtype=torch.float64)
ERROR = torch.tensor([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0], dtype=torch.float64)


def eight_schools(x):
    """mu ~ N(0, 5), tau ~ half-Cauchy(5), effects mu + tau z; x is mu, log tau, z."""
    mu, log_tau, z = x[..., 0], x[..., 1], x[..., 2:]
    tau = log_tau.exp()
    theta = mu[..., None] + tau[..., None] * z
    prior = -0.5 * (mu / 5).square() - (tau / 5).square().log1p() + log_tau - 0.5 * z.square().sum(-1)
    return prior - 0.5 * ((EFFECT - theta) / ERROR).square().sum(-1)


def quadrature():
    """Posterior means of mu, tau, theta and their squares: theta is normal given mu and tau, which lie on a grid."""
    mu = torch.linspace(-35, 45, 401, dtype=torch.float64)[:, None, None]
    log_tau = torch.linspace(-14, 7, 1201, dtype=torch.float64)[None, :, None]
    tau = log_tau.exp()
    variance = ERROR.square() + tau.square()
    log = (-0.5 * (EFFECT - mu).square() / variance - 0.5 * variance.log()).sum(-1)
    log = log + (-0.5 * (mu / 5).square() - (tau / 5).square().log1p() + log_tau)[..., 0]
    weight = log.flatten().softmax(0).reshape(log.shape)[..., None]
    # Precision-weighted, with tau = 0 as the limit.
    share = tau.square() / variance
    theta, spread = mu + share * (EFFECT - mu), tau.square() * ERROR.square() / variance
    firsts = [mu.expand_as(weight), tau.expand_as(weight), theta]
    seconds = [mu.square().expand_as(weight), tau.square().expand_as(weight), theta.square() + spread]
    return [torch.cat([(f * weight).sum((0, 1)) for f in moments]) for moments in (firsts, seconds)]


@pytest.mark.parametrize(
    "kernel", [NUTS(eight_schools, target=0.9), ChEES(eight_schools, target=0.9), HMC(eight_schools, 12, target=0.9)]
)
def test_eight_schools_are_those_of_quadrature(kernel):
    first, second = quadrature()
    draws, stats = sample(kernel, 0.5 * torch.randn(64, 10).double(), warmup=150, draws=150)
    assert float(rhat(draws).max()) < 1.03
    tau = draws[..., 1:2].exp()
    told = torch.cat([draws[..., :1], tau, draws[..., :1] + tau * draws[..., 2:]], -1)
    assert float(((told.mean((0, 1)) - first) / mcse_mean(told)).abs().max()) < 4
    # tau has a Cauchy's tail: its square has no variance to speak of.
    squares = told.square()[..., [0, *range(2, 10)]]
    assert float(((squares.mean((0, 1)) - second[[0, *range(2, 10)]]) / mcse_mean(squares)).abs().max()) < 4
    assert float(stats["diverging"].double().mean()) < 0.01
    assert float(ebfmi(stats["energy"]).mean()) > 0.5


def test_calibration_of_nuts_on_a_conjugate_model():
    """Truths drawn from the prior rank evenly among draws of their posteriors: 400 data sets in one batch."""
    queries, chains, kept = 400, 4, 16
    truth = torch.randn(queries, 2).double()
    data = truth[:, None] + torch.randn(queries, 3, 2).double() * torch.tensor([0.5, 2.0])

    def log_posterior(x):
        off = (data[:, None] - x[:, :, None]) / torch.tensor([0.5, 2.0])
        return -0.5 * x.square().sum(-1) - 0.5 * off.square().sum((-1, -2))

    draws, stats = sample(NUTS(log_posterior, depth=5), torch.randn(queries, chains, 2).double(), warmup=60, draws=kept)
    assert stats["step_size"].shape == (kept, queries) and stats["acceptance"].shape == (kept, chains, queries)
    assert float(ess(draws).mean()) > 0.5 * kept * chains
    # Each chain's last draw is independent of the others', being forgetful of its start: ranks are 0 .. 4.
    ranks = (draws[-1] < truth).sum(0)
    for column in ranks.T:
        count = torch.bincount(column, minlength=chains + 1).double()
        chi = ((count - queries / (chains + 1)).square() / (queries / (chains + 1))).sum()
        assert float(chi) < 23.5, "chi-squared with 4 degrees of freedom, p = .0001"
    # And the posterior itself is known.
    precision = 1 + 3 / torch.tensor([0.25, 4.0])
    mean = data.sum(1) / torch.tensor([0.25, 4.0]) / precision
    z = (draws - mean) * precision.sqrt()
    assert float((z.mean((0, 1, 2)) / mcse_mean(z.flatten(1, 2))).abs().max()) < 4
    assert float((z.square().mean((0, 1, 2)) - 1).abs().max()) < 0.04
