"""The probability flow of Gaussians and mixtures, whose score at every noise is known."""

import math

import pytest
import torch
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from genprob_denoising.flow import log_density, transported

LEAST, MOST = 0.05, 30.0
MEAN = torch.tensor([[-1.0, 0.5], [0.8, -0.4]], dtype=torch.float64)
COVARIANCE = torch.tensor([[[0.4, 0.2], [0.2, 0.3]], [[0.3, -0.1], [-0.1, 0.5]]], dtype=torch.float64)
SHARE = torch.tensor([0.35, 0.65], dtype=torch.float64)


def smoothed(noise):
    total = COVARIANCE + noise**2 * torch.eye(2, dtype=torch.float64)
    return MixtureSameFamily(Categorical(SHARE), MultivariateNormal(MEAN, total))


def score(points, noise):
    """Of the smoothed mixture, in a form that can be differentiated forwards."""
    total = COVARIANCE + noise.double()[0] ** 2 * torch.eye(2, dtype=torch.float64)
    off = points.double()[..., None, :] - MEAN
    solved = torch.linalg.solve(total, off[..., None])[..., 0]
    weight = torch.softmax(SHARE.log() - 0.5 * (off * solved).sum(-1) - 0.5 * torch.logdet(total), -1)
    return -(weight[..., None] * solved).sum(-2)


def test_the_log_density_is_that_of_the_smoothed_mixture():
    torch.manual_seed(0)
    points = smoothed(LEAST).sample((200,))
    value, error = log_density(score, points, LEAST, MOST)
    assert not error.any()
    off = value - smoothed(LEAST).log_prob(points)
    assert float(off.abs().max()) < 0.04 and abs(float(off.mean())) < 0.01


def test_noise_is_carried_to_the_mixture():
    torch.manual_seed(1)
    points = transported(score, math.sqrt(1 + MOST**2) * torch.randn(4000, 2), MOST, LEAST)
    law = smoothed(LEAST)
    assert torch.allclose(points.mean(0), law.mean, atol=0.06)
    assert torch.allclose(points.var(0), law.variance, rtol=0.08)
    there, _ = log_density(score, points, LEAST, MOST)
    entropy = -law.log_prob(law.sample((4000,))).mean()
    assert float(-there.mean()) == pytest.approx(float(entropy), abs=0.06)


def test_beyond_sixty_four_dimensions_random_directions_give_an_estimate_with_its_error():
    torch.manual_seed(2)
    variance = torch.linspace(0.5, 1.5, 80)

    def wide(points, noise):
        return -points / (variance + noise[0].to(points.dtype) ** 2)

    points = variance.sqrt() * torch.randn(20, 80)
    value, error = log_density(wide, points, LEAST, MOST)
    total = variance + LEAST**2
    truth = (-0.5 * points**2 / total - 0.5 * torch.log(2 * math.pi * total)).sum(1)
    # A diagonal divergence is met exactly by signs, whatever the direction.
    assert float((value - truth).abs().max()) < 0.1
    assert float(error.max()) < 1e-3

    turn = torch.linalg.qr(torch.randn(80, 80))[0]
    value, error = log_density(lambda x, s: wide(x @ turn, s) @ turn.T, points @ turn.T, LEAST, MOST)
    assert float(error.min()) > 0.1
    assert float(((value - truth) / error).square().mean()) < 4
