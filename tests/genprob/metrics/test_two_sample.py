import numpy as np
import pytest

from genprob.metrics.ranks import kolmogorov
from genprob.metrics.two_sample import classifier_test

NUMBERS = np.zeros(2, dtype=int)


def test_p_values_of_one_law_are_uniform():
    found = []
    for seed in range(120):
        first, second = np.random.default_rng(seed).standard_normal((2, 160, 2))
        found.append(classifier_test(first, second, NUMBERS, rounds=8, seed=seed))
    assert kolmogorov(np.array([f.p_value for f in found]))[1] > 1e-3
    assert np.mean([f.accuracy for f in found]) == pytest.approx(0.5, abs=0.015)


def test_a_shifted_law_and_a_lost_correlation_are_found():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((600, 2))
    shifted = classifier_test(x, rng.standard_normal((600, 2)) + 1, NUMBERS)
    assert shifted.p_value < 1e-6 and shifted.accuracy > 0.65 and shifted.n == 600
    tied = np.stack([x[:, 0], x[:, 0] + 0.3 * x[:, 1]], 1)
    free = np.stack([tied[:, 0], rng.permutation(tied[:, 1])], 1)
    assert classifier_test(tied, free, NUMBERS).p_value < 1e-6


def test_labels_are_told_by_their_names_not_their_order():
    rng = np.random.default_rng(2)
    odd = rng.choice([1.0, 3.0, 5.0, 7.0], 600)
    even = rng.choice([0.0, 2.0, 4.0, 6.0], 600)
    found = classifier_test(odd[:, None], even[:, None], np.array([8]), rounds=20)
    assert found.accuracy == 1.0


def test_a_classifier_that_learns_nothing_is_no_evidence():
    same = np.zeros((100, 1))
    p = [classifier_test(same, same, np.zeros(1, dtype=int), rounds=2, seed=s).p_value for s in range(40)]
    assert min(p) > 1e-3 and np.mean(p) > 0.4
