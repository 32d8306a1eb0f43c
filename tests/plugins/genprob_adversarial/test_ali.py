"""Adversarially learned inference on a linear-Gaussian toy: rows are one line seen with little noise."""

import numpy as np
import pytest
import torch

import genprob
from genprob_adversarial.ali import ALI


@pytest.fixture(scope="module")
def joint():
    rng = np.random.default_rng(0)
    z = rng.normal(size=3000)
    data = {"x": 2 * z + 0.3 * rng.normal(size=3000), "y": -z + 0.3 * rng.normal(size=3000)}
    options = {"name": "adversarial", "lr": 5e-3, "batch_size": 128, "observation": 0.2}
    return genprob.fit(data, ALI, latent=2, hidden=(32,), steps=500, seed=0, inference=options)


def test_draws_have_the_covariance_of_the_data(joint):
    drawn = joint.sample(4000, seed=1)
    assert np.allclose(np.cov(drawn["x"], drawn["y"]), [[4.09, -2.0], [-2.0, 1.09]], atol=0.8)


def test_rows_are_reconstructed_through_the_encoder(joint):
    model, batch = joint.model, joint.reference
    with torch.no_grad():
        code, _ = model.posterior(batch)
        back = model.heads.locations(model.heads.shifted(model.average(code)))
        rows = model.heads.encoder.encode(batch.values.double())
    assert float((back - rows).square().mean()) < 0.35 * float(rows.var())


def test_the_encoder_answers_queries(joint):
    answer = joint.query(["y"], {"x": 2.0}, seed=0)
    assert answer.attrs["law"] == "generator+noise"
    assert float(answer["marginals"]["y_mean"]) == pytest.approx(-2.0 * 2 / 4.09, abs=0.45)
