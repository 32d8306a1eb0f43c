"""A specialist's quantiles become draws that score as its law does."""

import numpy as np
import pytest
from scipy.stats import expon, norm

from benchmarks.peers.inversion import invert, snapped
from genprob.metrics.crps import fair_crps, levels


@pytest.mark.parametrize("law", [norm, expon], ids=["normal", "exponential"])
def test_nineteen_quantiles_lose_nothing(law):
    u, at = levels(4000), levels(19)
    truth, drawn = law.ppf(u), invert(at, law.ppf(at)[None], u[None])[0]
    own = np.abs(truth[:, None] - truth).mean() / 2
    score = np.abs(drawn[:, None] - truth).mean() - np.abs(drawn[:, None] - drawn).mean() / 2
    assert own <= score < 1.0005 * own


def test_draws_of_the_true_quantiles_score_as_the_law():
    rng = np.random.default_rng(0)
    shift, at = rng.standard_normal(4000), levels(19)
    drawn = invert(at, shift[:, None] + norm.ppf(at), rng.random((4000, 50)))
    scores = fair_crps(drawn[..., None], (shift + rng.standard_normal(4000))[:, None])
    assert scores.mean() == pytest.approx(1 / np.sqrt(np.pi), abs=4 * scores.std() / np.sqrt(4000))


def test_each_row_has_its_own_quantiles_and_crossed_ones_are_sorted():
    at = np.array([0.25, 0.5, 0.75])
    quantiles = np.array([[0.0, 1.0, 2.0], [12.0, 11.0, 10.0]])
    drawn = invert(at, quantiles, np.array([[0.0, 0.25, 0.6, 1.0], [0.5, 0.75, 0.125, 0.375]]))
    assert drawn == pytest.approx(np.array([[-1.0, 0.0, 1.4, 3.0], [11.0, 12.0, 9.5, 10.5]]))


def test_values_move_to_the_nearest_of_the_grid():
    assert snapped(np.array([-3.0, 0.4, 0.6, 7.0]), np.array([0.0, 1.0, 3.0])).tolist() == [0.0, 0.0, 1.0, 3.0]
