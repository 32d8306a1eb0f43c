import numpy as np
import pytest

from benchmarks.scores import covered, score


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
