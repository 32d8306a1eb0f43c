import numpy as np
import pytest

from genprob.metrics import neighbours
from genprob.metrics.neighbours import closeness, nearest
from genprob.metrics.ranks import kolmogorov


def test_nearest_is_brute_force(monkeypatch):
    monkeypatch.setattr(neighbours, "_AT_ONCE", 30)
    rng = np.random.default_rng(0)
    points, train = rng.standard_normal((25, 3)), rng.standard_normal((10, 3))
    expected = np.sqrt(((points[:, None] - train) ** 2).sum(-1)).min(1)
    assert nearest(points, train) == pytest.approx(expected)
    points[3] = np.nan
    assert np.isnan(nearest(points, train)[3])


def test_p_values_of_equal_laws_are_uniform_and_the_error_is_right():
    found = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        found.append(closeness(rng.random(60), rng.random(80)))
    assert kolmogorov(np.array([f.p_value for f in found]))[1] > 1e-3
    nearer = np.array([f.nearer for f in found])
    assert nearer.mean() == pytest.approx(0.5, abs=0.02)
    assert np.mean([f.error for f in found]) == pytest.approx(nearer.std(), rel=0.2)


def test_nearer_draws_are_accused_and_farther_ones_are_not():
    rng = np.random.default_rng(1)
    near, far = rng.random(200) * 0.3, rng.random(200)
    assert closeness(near, far).p_value < 1e-6 and closeness(near, far).nearer > 0.7
    assert closeness(far, near).p_value > 0.999 and closeness(far, near).nearer < 0.3
    assert closeness(np.zeros(50), np.zeros(50)).nearer == 0.5
