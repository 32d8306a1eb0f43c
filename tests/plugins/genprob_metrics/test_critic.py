import numpy as np
import pytest

from genprob_metrics.critic import Critic


def shifted(known, shift):
    joint = known.gaussian(names=("x",))
    joint.law = lambda rng, n: shift + rng.standard_normal((n, 1))
    return joint


def test_the_distance_of_shifted_laws_is_the_shift(known, scores):
    """Wasserstein's distance of a law from itself moved by a constant is that constant."""
    data = known.rows(known.gaussian(names=("x",)), 2000)
    sd = float(data["x"].std())
    score = scores(Critic(hidden=(16,), steps=200)(shifted(known, 1.0), data))["critic"]
    assert float(score.value) == pytest.approx(1.0 / sd, abs=0.12)
    assert float(score.value) < 1.0 / sd + 3 * float(score.error)
    assert score.kind == "lower_bound" and int(score.n) == 1000


def test_the_truth_is_at_no_distance_though_its_rows_could_be_learned_by_heart(known, scores):
    joint = known.gaussian()
    z = []
    for seed in range(6):
        data = known.rows(joint, 120, 500 + seed)
        score = scores(Critic(hidden=(16,), steps=60, rows=120, seed=seed)(joint, data))["critic"]
        z.append(float(score.value) / float(score.error))
    assert abs(np.mean(z)) < 3 / np.sqrt(6)


def test_the_same_seed_gives_the_same_critic(known, scores):
    joint = known.gaussian()
    data = known.rows(joint, 60)
    first, again = (float(scores(Critic(steps=5)(joint, data))["critic"].value) for _ in range(2))
    assert first == again
