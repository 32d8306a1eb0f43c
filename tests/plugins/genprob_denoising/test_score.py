import math

import numpy as np
import pytest
import torch

import genprob
from genprob.errors import UsageError
from genprob_denoising.score import Score

C = np.array([[1.0, 0.7], [0.7, 1.5]])


@pytest.fixture(scope="module")
def joint():
    rows = np.random.default_rng(0).multivariate_normal([2.0, -1.0], C, 4000)
    return genprob.fit(
        {"x": rows[:, 0], "y": rows[:, 1]},
        Score,
        hidden=(48, 48),
        steps=700,
        seed=0,
        inference={"name": "dsm", "lr": 5e-3},
    )


def test_the_score_nears_that_of_the_data_as_the_noise_falls(joint):
    model = joint.model
    scale = model.encoder.scale.numpy()
    precision = torch.as_tensor(np.linalg.inv(C / np.outer(scale, scale)), dtype=torch.float32)
    points = torch.randn(2000, 2) @ torch.linalg.cholesky(torch.linalg.inv(precision)).T
    off = []
    for noise in (1.0, 0.5, 0.2):
        with torch.no_grad():
            found = model.score(points, torch.full((2000,), noise))
        off.append(float((found + points @ precision).square().sum(1).mean()))
    assert off[2] < off[1] < off[0] and off[2] < 0.15 * float((points @ precision).square().sum(1).mean())


def test_draws_and_likelihood_are_of_one_law(joint):
    drawn = joint.sample(3000, seed=1)
    assert np.allclose(np.cov(drawn["x"], drawn["y"]), C, atol=0.2)
    scored = joint.log_prob(drawn.rename(draw="row"))
    assert scored.attrs["kind"] == "exact" and scored.attrs["law"] == "flow"
    entropy = math.log(2 * math.pi * math.e) + 0.5 * math.log(np.linalg.det(C))
    assert -float(scored["log_prob"].mean()) == pytest.approx(entropy, abs=0.1)


def test_annealed_langevin_comes_near(joint):
    torch.manual_seed(0)
    drawn = joint.model.langevin(2000)
    assert np.allclose(np.cov(drawn.T), C, atol=0.3) and np.allclose(drawn.mean(0), [2.0, -1.0], atol=0.15)


def test_queries_and_rows_with_holes_are_answered_by_the_diffusion(joint):
    answer = joint.query(["x"], {"y": 0.5}, seed=0)
    mean, sd = 2.0 + 0.7 / 1.5 * 1.5, math.sqrt(1.0 - 0.49 / 1.5)
    assert answer.attrs["law"] == "diffusion" and answer.attrs["reliable"] == 1, answer.attrs["reasons"]
    assert float(answer["marginals"]["x_mean"]) == pytest.approx(mean, abs=0.15)
    assert float(answer["marginals"]["x_sd"]) == pytest.approx(sd, abs=0.12)
    truth = -0.5 * math.log(2 * math.pi * 1.5) - 0.5 * 1.5**2 / 1.5
    scored = joint.log_prob({"x": [np.nan], "y": [0.5]})
    assert scored.attrs["kind"] == "estimate"
    assert float(scored["log_prob"][0]) == pytest.approx(truth, abs=0.2)
    assert answer.attrs["log_evidence"] == pytest.approx(truth, abs=0.2)


def test_holes_are_left_out_of_the_loss(joint):
    rows = np.random.default_rng(0).multivariate_normal([2.0, -1.0], C, 3000)
    rows[np.random.default_rng(1).random(rows.shape) < 0.3] = np.nan
    holed = genprob.fit(
        {"x": rows[:, 0], "y": rows[:, 1]},
        Score,
        hidden=(48, 48),
        steps=500,
        seed=0,
        inference={"name": "dsm", "lr": 5e-3},
    )
    drawn = holed.sample(3000, seed=1)
    assert np.allclose(np.cov(drawn["x"], drawn["y"]), C, atol=0.25)


def test_rounded_reals_have_the_probability_of_their_cells():
    x = np.round(np.random.default_rng(0).normal(size=2000))
    cells = genprob.fit(
        {"x": x}, Score, hidden=(32,), steps=300, schema={"x": "real"}, inference={"name": "dsm", "lr": 1e-2}
    )
    assert cells.schema["x"].cell is not None
    scored = cells.log_prob({"x": [-2.0, -1.0, 0.0, 1.0, 2.0]})
    seen = [(x == v).mean() for v in (-2.0, -1.0, 0.0, 1.0, 2.0)]
    assert scored.attrs["kind"] == "estimate"
    assert np.allclose(np.exp(scored["log_prob"]), seen, atol=0.06)


def test_what_noise_cannot_be_added_to_is_refused_with_alternatives():
    with pytest.raises(UsageError, match=r"'g' is categorical.*use gsn, wgan"):
        genprob.fit({"x": [0.1, 0.2], "g": ["a", "b"]}, Score, steps=0)
    for options in ({"least": 0.0}, {"least": 3.0, "most": 2.0}, {"levels": 1}):
        with pytest.raises(UsageError, match=next(iter(options))):
            genprob.fit({"x": [0.11, 0.23]}, Score, steps=0, **options)
