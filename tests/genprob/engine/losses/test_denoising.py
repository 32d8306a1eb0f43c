"""The velocity of straight lines, written out, beside the loss that matches it through a score."""

import math

import numpy as np
import pytest
import torch

import genprob
from genprob.engine.losses.denoising import denoising
from genprob.errors import UsageError

LEAST, MOST = 0.02, 8.0


class Wrong:
    """A score that is wrong in a known way."""

    def __init__(self, rows):
        self.rows = rows

    def points(self, batch):
        return self.rows

    def score(self, points, noise):
        return torch.sin(points) - 0.3 * noise[:, None]


def test_matching_velocities_is_matching_what_straight_lines_move_with():
    rows = torch.randn(50, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    model = Wrong(rows)
    torch.manual_seed(0)
    found = denoising(model, LEAST, MOST, "velocity")({}, object())
    torch.manual_seed(0)
    share, e = torch.rand(50, dtype=torch.float64), torch.randn_like(rows)
    first, last = 1 / (1 + MOST), 1 / (1 + LEAST)
    t = (first + share * (last - first))[:, None]
    y = t * rows + (1 - t) * e
    noise = ((1 - t) / t)[:, 0]
    # The mean of what lies behind a point that moves to it: Tweedie's formula in the coordinates of the line.
    clean = y / t + noise[:, None] ** 2 * model.score(y / t, noise)
    velocity = (clean - y) / (1 - t)
    assert float(found) == pytest.approx(float((velocity - (rows - e)).square().sum(1).mean()), rel=1e-9)


def test_a_flow_matched_along_lines_has_the_density_of_the_data():
    rng = np.random.default_rng(0)
    k = rng.random(4000) < 0.4
    means, sd = np.where(k[:, None], [1.5, 1.0], [-1.0, -0.5]), 0.5
    rows = means + sd * rng.normal(size=(4000, 2))
    joint = genprob.fit(
        {"x": rows[:, 0], "y": rows[:, 1]}, "score", hidden=(32, 32), steps=500, seed=0,
        inference={"name": "dsm", "match": "velocity", "lr": 1e-2, "batch_size": 256},
    )  # fmt: skip
    at = rows[:200]
    parts = [
        math.log(share) - ((at - mean) ** 2).sum(1) / (2 * sd**2)
        for share, mean in ((0.4, [1.5, 1.0]), (0.6, [-1.0, -0.5]))
    ]
    truth = np.logaddexp(*parts) - math.log(2 * math.pi * sd**2)
    scored = joint.log_prob({"x": at[:, 0], "y": at[:, 1]})
    assert (scored.attrs["kind"], scored.attrs["law"]) == ("exact", "flow")
    off = scored["log_prob"].values - truth
    assert abs(off.mean()) < 0.1 and np.abs(off).mean() < 0.25
    drawn = joint.sample(2000, seed=1)
    assert float((drawn["x"] > 0.25).mean()) == pytest.approx(0.4, abs=0.05)


def test_what_cannot_be_matched_is_refused():
    with pytest.raises(UsageError, match="score or velocity"):
        genprob.fit({"x": [0.11, 0.23]}, "score", inference={"name": "dsm", "match": "law"}, steps=0)
