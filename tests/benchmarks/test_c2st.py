"""The two-sample test says one half of equal laws, and what the best classifier can do of others."""

import numpy as np
import pytest
from scipy.stats import norm

from benchmarks.c2st import accuracy


@pytest.mark.parametrize("shift", [0.0, 1.0, 3.0])
def test_accuracy_is_near_that_of_the_best_classifier(shift):
    rng = np.random.default_rng(5)
    first, second = rng.standard_normal((2, 800, 2))
    best = norm.cdf(shift / 2)
    found = accuracy(first, second + np.array([shift, 0.0]), seed=0, trees=25)
    assert best - 0.09 < found < best + 0.035


def test_columns_are_put_on_one_scale_and_a_constant_one_does_no_harm():
    rng = np.random.default_rng(6)
    first, second = rng.standard_normal((2, 400, 2))
    second[:, 1] *= 3
    scale = np.array([1.0, 1e-9])
    wide = accuracy(first, second, seed=0, trees=10)
    narrow = accuracy(first * scale, second * scale, seed=0, trees=10)
    assert wide == pytest.approx(narrow, abs=0.02)
    constant = np.zeros((400, 1))
    assert accuracy(constant, constant, seed=0, trees=10) == pytest.approx(0.5, abs=0.05)
