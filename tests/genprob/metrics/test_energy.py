import math

import numpy as np
import pytest
from scipy.special import gamma
from scipy.stats import norm

from genprob.metrics.crps import fair_crps
from genprob.metrics.energy import energy_distance, fair_energy


def test_energy_of_one_real_is_its_crps():
    rng = np.random.default_rng(1)
    draws, truth = rng.standard_normal((50, 20, 3)), rng.standard_normal((50, 3))
    missing = np.zeros((50, 3), dtype=bool)
    missing[:, 1] = True
    assert fair_energy(draws, truth, missing) == pytest.approx(fair_crps(draws, truth)[:, 1])


@pytest.mark.parametrize("d", [2, 5])
@pytest.mark.parametrize("draws", [2, 20])
def test_energy_of_a_standard_gaussian_at_its_centre(d, draws):
    # E|X| - E|X - X'|/2 = (1 - 1/sqrt 2) E|X|, and E|X| is the mean of a chi variable with d degrees
    expected = (1 - 1 / math.sqrt(2)) * math.sqrt(2) * gamma((d + 1) / 2) / gamma(d / 2) / math.sqrt(d)
    sample = np.random.default_rng(d).standard_normal((4000, draws, d))
    scores = fair_energy(sample, np.zeros((4000, d)), np.ones((4000, d), dtype=bool))
    assert scores.mean() == pytest.approx(expected, abs=4 * scores.std() / math.sqrt(4000))


def test_energy_ignores_given_cells_and_is_nan_without_missing_ones():
    rng = np.random.default_rng(2)
    draws, truth = rng.standard_normal((2, 20, 3)), rng.standard_normal((2, 3))
    missing = np.array([[True, True, False], [False, False, False]])
    scores = fair_energy(draws, truth, missing)
    draws[:, :, 2] += 100
    assert fair_energy(draws, truth, missing)[0] == scores[0]
    assert np.isnan(scores[1])


def absolute_mean(mean, sd):
    return sd * math.sqrt(2 / math.pi) * math.exp(-(mean**2) / (2 * sd**2)) + mean * (1 - 2 * norm.cdf(-mean / sd))


@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_energy_distance_of_two_gaussians_is_unbiased(shift):
    expected = 2 * absolute_mean(shift, math.sqrt(2)) - 2 * absolute_mean(0.0, math.sqrt(2))
    found = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        both = np.concatenate([rng.standard_normal(12), shift + rng.standard_normal(9)])
        first = np.arange(21) < 12
        found.append(energy_distance(np.abs(both[:, None] - both), first[None])[0])
    assert np.mean(found) == pytest.approx(expected, abs=4 * np.std(found) / 20)
