import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import gamma
from scipy.stats import norm

from benchmarks.scores import covered, fair_crps, fair_energy, log_loss, paired_bootstrap, score


def gaussian_crps(truth, mean=0.0, sd=1.0):
    z = (truth - mean) / sd
    return sd * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / math.sqrt(math.pi))


def test_the_closed_form_is_the_integral_of_the_squared_distance_of_distribution_functions():
    for truth in (-1.3, 0.0, 2.0):
        below = quad(lambda x: norm.cdf(x) ** 2, -12, truth)[0]
        above = quad(lambda x: (1 - norm.cdf(x)) ** 2, truth, 12)[0]
        assert gaussian_crps(truth) == pytest.approx(below + above, abs=1e-7)


@pytest.mark.parametrize("draws", [2, 5, 100])
@pytest.mark.parametrize("truth", [-1.3, 0.0, 2.0])
def test_fair_crps_is_unbiased_for_any_number_of_draws(draws, truth):
    n = 400_000 // draws
    sample = np.random.default_rng(draws).standard_normal((n, draws, 1))
    scores = fair_crps(sample, np.full((n, 1), truth))
    assert scores.mean() == pytest.approx(gaussian_crps(truth), abs=4 * scores.std() / math.sqrt(n))


def test_fair_crps_of_few_draws_is_the_double_sum():
    rng = np.random.default_rng(0)
    draws, truth = rng.standard_normal((3, 7, 2)), rng.standard_normal((3, 2))
    pairs = np.abs(draws[:, :, None] - draws[:, None]).sum(axis=(1, 2)) / (7 * 6)
    assert fair_crps(draws, truth) == pytest.approx(np.abs(draws - truth[:, None]).mean(axis=1) - pairs / 2)


def test_energy_of_one_real_is_its_crps():
    rng = np.random.default_rng(1)
    draws, truth = rng.standard_normal((50, 20, 3)), rng.standard_normal((50, 3))
    missing = np.zeros((50, 3), dtype=bool)
    missing[:, 1] = True
    assert fair_energy(draws, truth, missing) == pytest.approx(fair_crps(draws, truth)[:, 1])


@pytest.mark.parametrize("d", [2, 5])
def test_energy_of_a_standard_gaussian_at_its_centre(d):
    # E|X| - E|X - X'|/2 = (1 - 1/sqrt 2) E|X|, and E|X| is the mean of a chi variable with d degrees
    expected = (1 - 1 / math.sqrt(2)) * math.sqrt(2) * gamma((d + 1) / 2) / gamma(d / 2) / math.sqrt(d)
    draws = np.random.default_rng(d).standard_normal((4000, 20, d))
    scores = fair_energy(draws, np.zeros((4000, d)), np.ones((4000, d), dtype=bool))
    assert scores.mean() == pytest.approx(expected, abs=4 * scores.std() / math.sqrt(4000))


def test_energy_ignores_given_cells_and_is_nan_without_missing_ones():
    rng = np.random.default_rng(2)
    draws, truth = rng.standard_normal((2, 20, 3)), rng.standard_normal((2, 3))
    missing = np.array([[True, True, False], [False, False, False]])
    scores = fair_energy(draws, truth, missing)
    draws[:, :, 2] += 100
    assert fair_energy(draws, truth, missing)[0] == scores[0]
    assert np.isnan(scores[1])


def test_log_loss_is_that_of_smoothed_shares():
    draws = np.array([[[0], [0], [1], [2]]])
    assert log_loss(draws, np.array([[0]]), np.array([3])) == pytest.approx(-math.log(2.5 / 5.5))
    assert log_loss(draws, np.array([[7]]), np.array([3])) == pytest.approx(-math.log(0.5 / 5.5))


def test_intervals_of_the_true_law_cover_nine_in_ten():
    rng = np.random.default_rng(3)
    inside = covered(rng.standard_normal((4000, 400, 1)), rng.standard_normal((4000, 1)))
    assert inside.mean() == pytest.approx(0.9, abs=0.02)
    narrow = covered(0.5 * rng.standard_normal((4000, 400, 1)), rng.standard_normal((4000, 1)))
    assert narrow.mean() < 0.7


def test_summary_counts_missing_cells_only():
    rng = np.random.default_rng(4)
    reals, labels = rng.standard_normal((30, 50, 2)), rng.integers(3, size=(30, 50, 1))
    true_reals, true_labels = rng.standard_normal((30, 2)), rng.integers(3, size=(30, 1))
    missing = rng.random((30, 3)) < 0.5
    before = score(reals, labels, true_reals, true_labels, missing, np.array([3])).summary()
    reals[np.repeat(~missing[:, None, :2], 50, axis=1)] = 1e6
    labels[np.repeat(~missing[:, None, 2:], 50, axis=1)] = 2
    assert score(reals, labels, true_reals, true_labels, missing, np.array([3])).summary() == before


def test_paired_bootstrap_covers_the_true_difference_and_uses_the_pairing():
    hits, widths = 0, []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        theirs = rng.standard_normal((200, 3)) * 10
        ours = theirs + 0.5 + rng.standard_normal((200, 3))
        hole = rng.random((200, 3)) < 0.3
        ours[hole] = theirs[hole] = np.nan
        mean, low, high = paired_bootstrap(ours, theirs, resamples=400, seed=seed)
        assert low < mean < high
        hits += low <= 0.5 <= high
        widths.append(high - low)
    assert 85 <= hits <= 100
    assert np.mean(widths) < 0.3  # unpaired it would be about 3
