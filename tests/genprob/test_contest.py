"""Two joints on held-out rows."""

import numpy as np
import pytest

import genprob
from genprob.contest import Contest

RNG = np.random.default_rng(0)
SCORES = RNG.normal(-5, 1, 400)


def contest(ours, theirs) -> Contest:
    return Contest._of_scores(("a", "b"), ours, theirs)


def test_a_known_lead_is_told():
    found = contest(SCORES + 0.5 + 0.1 * RNG.normal(size=400), SCORES)
    assert found.winner == "a"
    assert found.difference == pytest.approx(0.5, abs=0.02)
    assert found.error == pytest.approx(0.1 / 20, rel=0.3)
    assert found.scores[0] - found.scores[1] == pytest.approx(found.difference)
    assert "a is kept" in found.line and "\n" not in found.line


def test_a_lead_within_the_noise_is_none():
    noise = RNG.normal(size=400)
    assert contest(SCORES + noise - noise.mean() + 0.01, SCORES).winner == "b"


def test_one_row_far_from_everything_does_not_decide():
    far = SCORES.copy()
    far[7] = -1e6
    assert contest(far + 0.5, SCORES).winner == "a"


def test_a_row_that_neither_can_explain_counts_for_neither():
    ours, theirs = SCORES + 0.5, SCORES.copy()
    ours[:3] = theirs[:3] = -np.inf
    found = contest(ours, theirs)
    assert found.winner == "a"
    assert np.isfinite([found.difference, found.error]).all()


def test_the_joint_that_knows_the_law_wins():
    x = RNG.normal(size=300)
    rows = {"x": x, "y": x + 0.1 * RNG.normal(size=300)}
    train, held = ({k: v[part] for k, v in rows.items()} for part in (slice(0, 200), slice(200, 300)))
    joints = {
        "two": genprob.fit(train, components=1),
        "one": genprob.fit(train, components=1, covariance="diagonal"),
    }
    assert Contest.of(joints, genprob.read(held), seed=0).winner == "two"
