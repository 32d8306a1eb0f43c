import math

import numpy as np
import pytest

from genprob.metrics.score import Score, averaged, clustered_mean, grouped


def test_error_of_the_mean_counts_rows_and_not_the_cells_that_they_share():
    covered, widths = 0, []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        cells = 2 + rng.normal(size=(60, 1)) + 0.1 * rng.normal(size=(60, 5))
        cells[rng.random(cells.shape) < 0.4] = np.nan
        mean, error, n = clustered_mean(cells)
        assert n == np.isfinite(cells).sum()
        covered += abs(mean - 2) < 1.96 * error
        widths.append(error)
    assert 0.9 <= covered / 300 <= 0.98
    assert np.mean(widths) > 1.5 / math.sqrt(60 * 5 * 0.6)  # what cells as if independent would claim


def test_one_cell_a_row_gives_the_usual_standard_error():
    x = np.random.default_rng(0).normal(size=50)
    mean, error, n = clustered_mean(x)
    assert (mean, error, n) == pytest.approx((x.mean(), x.std(ddof=1) / math.sqrt(50), 50))


def test_nothing_known_and_one_row_have_no_error():
    assert np.isnan(clustered_mean(np.full((3, 2), np.nan))[:2]).all()
    assert clustered_mean(np.full((3, 2), np.nan))[2] == clustered_mean(np.zeros((0, 2)))[2] == 0
    mean, error, n = clustered_mean(np.array([4.0]))
    assert mean == 4 and np.isnan(error) and n == 1


def test_an_impossible_row_makes_the_mean_minus_infinity():
    mean, error, n = clustered_mean(np.array([-1.0, -np.inf]))
    assert mean == -np.inf and np.isnan(error) and n == 2


def test_groups_are_means_of_their_own_rows():
    cells = np.array([[1.0, 3.0], [5.0, np.nan]])
    score = grouped("crps", "share", [cells[:1], cells[1:]], units="sd", better="lower")
    assert score.value.tolist() == [2.0, 5.0] and score.n.tolist() == [2, 1] and score.dims == ("share",)
    assert averaged("crps", cells, units="sd", better="lower").value == 3.0


def test_aims_in_words():
    one = np.array(1.0)
    assert Score("a", one, one, one, "", "lower").aim == "lower"
    assert Score("a", one, one, one, "", "nearer", ideal=0.8).aim == "near 0.8"
    assert "against" in Score("a", one, one, one, "", "p-value").aim
