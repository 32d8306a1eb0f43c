import math

import numpy as np
import pytest

from genprob.metrics.log_loss import log_loss, smoothed_log_loss


def test_log_loss_is_that_of_smoothed_shares():
    draws = np.array([[[0], [0], [1], [2]]])
    assert log_loss(draws, np.array([[0]]), np.array([3])) == pytest.approx(-math.log(2.5 / 5.5))
    assert log_loss(draws, np.array([[7]]), np.array([3])) == pytest.approx(-math.log(0.5 / 5.5))


def test_log_loss_of_many_draws_is_the_entropy_of_their_law():
    rng = np.random.default_rng(0)
    p = np.array([0.6, 0.3, 0.1])
    truth, draws = rng.choice(3, (2000, 1), p=p), rng.choice(3, (2000, 500, 1), p=p)
    losses = log_loss(draws, truth, 3)
    assert losses.mean() == pytest.approx(-(p * np.log(p)).sum(), abs=4 * losses.std() / math.sqrt(2000) + 0.003)


def test_a_stated_probability_is_smoothed_as_if_it_had_been_drawn():
    draws = np.array([[[0], [0], [1], [2]]])
    assert smoothed_log_loss(np.array([0.5]), 4, 3) == pytest.approx(log_loss(draws, np.array([[0]]), 3)[0])
    assert np.isfinite(smoothed_log_loss(np.array([0.0]), 10, 2))
