"""A field is the model's own score, and its arrows Tweedie's step."""

import numpy as np
import pytest
import torch

import genprob
from genprob.errors import UsageError
from genprob.pictures import field, plot_fields


@pytest.mark.parametrize(("model", "noise"), [("dae", None), ("plain", None), ("score", 0.7)])
def test_the_field_is_the_models_score(joints, model, noise):
    joint = joints[model]
    found = field(joint, noise=noise, steps=7, draws=10)
    u, v = np.meshgrid(found["first"], found["second"])
    encoder = joint.model.encoder
    points = encoder.encode(torch.as_tensor(np.stack([u.ravel(), v.ravel()], 1)))
    level = torch.full((49,), found.attrs["noise"])
    score = joint.model.score(points.float(), level).detach().double()
    assert found.attrs["noise"] == pytest.approx(0.2 if noise is None else noise)
    assert np.allclose(found["score"].values.reshape(-1, 2), score, atol=1e-4)
    step = encoder.decode(points + found.attrs["noise"] ** 2 * score)
    assert np.allclose(found["denoised"].values.reshape(-1, 2), step, atol=1e-4)


def test_a_learned_field_of_a_normal_points_to_its_mean():
    """Of N(m, s^2 I) with noise t, encoded to unit spread, the denoised point is m + (x - m) / (1 + t^2)."""
    rows = np.random.default_rng(0).normal([3.0, -2.0], [2.0, 0.5], (1500, 2))
    joint = genprob.fit(
        {"x": rows[:, 0], "y": rows[:, 1]}, "dae", sigma=0.5, hidden=(16,), steps=200, seed=0,
        inference={"name": "dsm", "lr": 1e-2},
    )  # fmt: skip
    found = field(joint, steps=9, draws=10)
    u, v = np.meshgrid(found["first"], found["second"])
    truth = rows.mean(0) + (np.stack([u, v], -1) - rows.mean(0)) / 1.25
    near = (np.abs((np.stack([u, v], -1) - rows.mean(0)) / rows.std(0)) < 2).all(-1)
    off = (found["denoised"].values - truth) / rows.std(0)
    assert np.sqrt((off[near] ** 2).mean()) < 0.1


def test_fields_are_drawn(joints, tmp_path):
    found = field(joints["dae"], steps=5, draws=10)
    assert plot_fields({"a": found, "b": found}, tmp_path / "a.png").stat().st_size > 2000
    with pytest.raises(UsageError, match="nothing to plot"):
        plot_fields({}, tmp_path / "a.png")


def test_what_has_no_field_says_what_has(joints):
    with pytest.raises(UsageError, match="has no field: it knows no score of its law; dae and score do"):
        field(joints["mixture"])
    with pytest.raises(UsageError, match=r"knows noises of 0\.2 to 0\.2"):
        field(joints["dae"], noise=0.5)
    three = genprob.fit({n: np.random.default_rng(0).normal(size=30) for n in "abc"}, "dae", steps=0, hidden=(4,))
    with pytest.raises(UsageError, match="there are 3: a, b, c"):
        field(three)
