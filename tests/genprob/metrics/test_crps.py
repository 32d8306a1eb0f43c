import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from genprob.metrics.crps import fair_crps, levels, quantile_crps


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


def test_an_unknown_truth_has_no_score():
    draws = np.zeros((1, 3, 2))
    assert np.isnan(fair_crps(draws, np.array([[np.nan, 1.0]]))).tolist() == [[True, False]]


@pytest.mark.parametrize("truth", [-1.3, 0.0, 2.0])
def test_crps_of_quantiles_tends_to_that_of_the_law(truth):
    found = [float(quantile_crps(norm.ppf(levels(k))[None], np.array([truth]))[0]) for k in (9, 99, 999)]
    errors = np.abs(np.array(found) - gaussian_crps(truth))
    assert errors[1] < errors[0] / 5 and errors[2] < 2e-4


def test_quantiles_of_the_true_law_score_best():
    truth = np.random.default_rng(1).standard_normal(4000)
    score = {sd: quantile_crps(np.tile(sd * norm.ppf(levels(9)), (4000, 1)), truth).mean() for sd in (0.6, 1.0, 1.6)}
    assert score[1.0] < min(score[0.6], score[1.6])
