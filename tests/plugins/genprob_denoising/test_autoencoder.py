"""Denoising autoencoders on a Gaussian and a mixture, whose laws seen with noise are known."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm

import genprob
from genprob import Equals, Soft, Within
from genprob.errors import UsageError
from genprob.query.batch import QueryBatch
from genprob_denoising.energy import EnergyNet

SIGMA = 0.3
C = np.array([[1.0, 0.7], [0.7, 1.0]])
NOISY = C + SIGMA**2 * np.eye(2)


class Known(torch.nn.Module):
    """The energy of the Gaussian seen with noise, exactly."""

    def __init__(self):
        super().__init__()
        self.register_buffer("precision", torch.as_tensor(np.linalg.inv(NOISY), dtype=torch.float32))

    def forward(self, points):
        return 0.5 * ((points @ self.precision) * points).sum(-1)

    def score(self, points):
        return -points @ self.precision


def joint_of(**options):
    """A joint whose network is replaced by the truth, so that only what is built on it is tested."""
    rows = np.random.default_rng(0).multivariate_normal([0, 0], C, 2000)
    rows = (rows - rows.mean(0)) / rows.std(0)
    joint = genprob.fit({"x": rows[:, 0], "y": rows[:, 1]}, "dae", steps=0, sigma=SIGMA, hidden=(4,), **options)
    known = Known()
    joint.model.energy = lambda points: known(points.float())
    joint.model.value_and_score = lambda points: tuple(f(points.float()).double() for f in (known, known.score))
    return joint


def test_clamped_answers_are_the_conditional_of_the_noisy_law():
    joint = joint_of(finish=False)
    mean, variance = NOISY[0, 1] / NOISY[1, 1], NOISY[0, 0] - NOISY[0, 1] ** 2 / NOISY[1, 1]
    answer = joint.query(["x"], {"y": 1.5}, seed=0, strategy="clamped")
    assert (answer.attrs["guarantee"], answer.attrs["law"]) == ("consistent", "p_sigma")
    assert float(answer["marginals"]["x_mean"]) == pytest.approx(1.5 * mean, abs=0.1)
    assert float(answer["marginals"]["x_sd"]) == pytest.approx(math.sqrt(variance), abs=0.06)
    truth = norm.logpdf(1.5, 0, math.sqrt(NOISY[1, 1]))
    assert abs(answer.attrs["log_evidence"] - truth) < 4 * answer.attrs["log_evidence_se"] + 0.1


def test_ranges_hold_chains_inside_them():
    joint = joint_of(finish=False)
    answer = joint.query(["x"], {"y": Within(0.5, 1.5)}, seed=0, strategy="clamped")
    sd = math.sqrt(NOISY[1, 1])
    mass = norm.cdf(1.5 / sd) - norm.cdf(0.5 / sd)
    given = sd * (norm.pdf(0.5 / sd) - norm.pdf(1.5 / sd)) / mass
    assert float(answer["marginals"]["x_mean"]) == pytest.approx(NOISY[0, 1] / NOISY[1, 1] * given, abs=0.1)
    assert abs(answer.attrs["log_evidence"] - math.log(mass)) < 4 * answer.attrs["log_evidence_se"] + 0.1


def test_rows_have_the_density_of_the_noisy_law_and_the_error_of_its_partition_function():
    joint = joint_of()
    rows = joint.reference.values.numpy()[:50]
    scored = joint.log_prob({"x": rows[:, 0], "y": rows[:, 1]})
    truth = -0.5 * np.einsum("ni,ij,nj->n", rows, np.linalg.inv(NOISY), rows)
    truth = truth - math.log(2 * math.pi) - 0.5 * math.log(np.linalg.det(NOISY))
    assert (scored.attrs["kind"], scored.attrs["law"]) == ("estimate", "p_sigma")
    assert 0 < scored.attrs["log_partition_se"] < 0.1
    assert np.abs(scored["log_prob"].values - truth).max() < 4 * scored.attrs["log_partition_se"] + 0.03


def test_tweedie_finishes_draws():
    noisy, finished = (joint_of(finish=finish).sample(1500, seed=1) for finish in (False, True))
    gain = np.eye(2) - SIGMA**2 * np.linalg.inv(NOISY)
    assert np.allclose(np.cov(noisy["x"], noisy["y"]), NOISY, atol=0.12)
    assert np.allclose(np.cov(finished["x"], finished["y"]), gain @ NOISY @ gain.T, atol=0.12)


@pytest.mark.parametrize("form", ["energy", "plain"])
def test_the_score_is_learned_and_nears_that_of_the_data_as_the_noise_falls(form):
    rows = np.random.default_rng(0).multivariate_normal([0, 0], C, 3000)
    data, off = {"x": rows[:, 0], "y": rows[:, 1]}, []
    points = torch.as_tensor(rows[:500])
    for sigma in (0.6, 0.25):
        joint = genprob.fit(
            data, "dae", form=form, sigma=sigma, hidden=(24,), steps=250, seed=0, inference={"name": "dsm", "lr": 1e-2}
        )
        scale = joint.model.encoder.scale.numpy()
        found = joint.model.slope(joint.model.encoder.encode(points))
        noisy = C / np.outer(scale, scale) + sigma**2 * np.eye(2)
        encoded = joint.model.encoder.encode(points).numpy()
        learned = found.numpy() + encoded @ np.linalg.inv(noisy)
        assert (learned**2).mean() < 0.12
        off.append(((found.numpy() + encoded @ np.linalg.inv(C / np.outer(scale, scale))) ** 2).mean())
    assert off[1] < 0.7 * off[0]


def test_the_gradient_written_out_is_that_of_autograd():
    torch.manual_seed(0)
    network = EnergyNet(3, (7, 5), 0.4).double()
    points = torch.randn(20, 3, dtype=torch.float64)
    value, score = network.value_and_score(points)
    assert torch.allclose(value, network(points)) and torch.allclose(score, network.score(points).detach())


@pytest.mark.parametrize("given", [{}, {"y": Equals(0.4)}, {"y": Within(-0.5, 1.5)}, {"y": Soft(0.3, sd=0.4)}])
def test_chains_follow_the_gradient_of_their_density(given):
    rows = np.random.default_rng(0).normal(size=(60, 2))
    model = genprob.fit({"x": rows[:, 0], "y": rows[:, 1]}, "dae", hidden=(6,), steps=3).model
    held = model.clamp(QueryBatch.from_evidence(model.schema, [given], ["x"]), 5)
    points = 0.3 * torch.randn(1, 5, 2, dtype=torch.float64)
    value, gradient = held.value_and_gradient(points)
    at = points.clone().requires_grad_()
    truth = held.log_density(at)
    assert torch.allclose(value, truth, atol=1e-5)
    (slope,) = torch.autograd.grad(torch.where(truth.isfinite(), truth, 0.0).sum(), at)
    assert torch.allclose(gradient, slope, atol=1e-5)


def test_what_has_no_density_says_what_has():
    rows = np.random.default_rng(0).normal(size=(60, 2))
    data = {"x": rows[:, 0], "y": rows[:, 1]}
    plain = genprob.fit(data, "dae", form="plain", hidden=(4,), steps=2)
    with pytest.raises(UsageError, match="no log-probability"):
        plain.log_prob(data)
    assert plain.explain(["x"], {"y": 0.1}).chosen == "denoising"
    with pytest.raises(UsageError, match="'g' is categorical"):
        genprob.fit({"x": [0.1, 0.2], "g": ["a", "b"]}, "dae", form="energy", steps=0)


def test_chains_that_cannot_cross_say_so():
    """Two modes a hundred deviations apart: within no budget do chains begun in both agree."""
    side = np.random.default_rng(0).choice([-1.0, 1.0], 400)
    rows = side + 0.02 * np.random.default_rng(1).normal(size=400)
    joint = genprob.fit({"x": rows, "y": np.random.default_rng(2).normal(size=400)}, "dae", steps=0, sigma=0.02)
    scale = 1 / 0.02

    def two(points):
        at = torch.tensor([-1.0, 1.0], dtype=torch.float64)
        off = scale * (points[:, :1] - at)
        weight = torch.softmax(-0.5 * off**2, 1)
        energy = 0.5 * points[:, 1] ** 2 - torch.logsumexp(-0.5 * off**2, 1)
        return energy, -torch.stack([(weight * scale * off).sum(1), points[:, 1]], 1)

    joint.model.value_and_score = two
    joint.model.energy = lambda points: two(points)[0]
    answer = joint.query(["x"], {"y": 0.3}, draws=100, strategy="clamped", seed=0)
    assert (answer.attrs["reliable"], answer.attrs["computation"]) == (0, "fail")
    assert "not mixed" in answer.attrs["reasons"]
