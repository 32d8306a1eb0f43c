import numpy as np
import pytest

from genprob.metrics.ranks import inside, kolmogorov, pit

LAWS = {
    "gaussian": lambda rng, size: rng.standard_normal(size),
    "poisson": lambda rng, size: rng.poisson(1.5, size).astype(float),
    "coin": lambda rng, size: (rng.random(size) < 0.3).astype(float),
}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("draws", [3, 50])
def test_ranks_of_truths_from_the_law_of_the_draws_are_uniform(law, draws):
    p = []
    for seed in range(120):
        rng = np.random.default_rng(seed)
        ranks = pit(LAWS[law](rng, (80, draws, 1)), LAWS[law](rng, (80, 1)), rng)
        p.append(kolmogorov(ranks[:, 0])[1])
    assert kolmogorov(np.array(p))[1] > 1e-3  # uniform p-values: neither blind nor jealous


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
def test_intervals_cover_what_they_say_for_any_number_of_draws(level):
    rng = np.random.default_rng(3)
    for draws in (5, 100):
        held = inside(pit(rng.standard_normal((6000, draws, 1)), rng.standard_normal((6000, 1)), rng), level)
        assert held.mean() == pytest.approx(level, abs=4 * np.sqrt(level * (1 - level) / 6000))


def test_narrow_draws_are_found_out():
    rng = np.random.default_rng(4)
    ranks = pit(0.5 * rng.standard_normal((500, 100, 1)), rng.standard_normal((500, 1)), rng)
    assert kolmogorov(ranks)[1] < 1e-6
    assert inside(ranks, 0.95).mean() < 0.8


def test_an_unknown_truth_has_no_rank():
    ranks = pit(np.zeros((1, 4, 2)), np.array([[np.nan, 0.0]]), np.random.default_rng(0))
    assert np.isnan(ranks).tolist() == [[True, False]]
    assert np.isnan(inside(ranks, 0.5)).tolist() == [[True, False]]
    assert np.isnan(kolmogorov(np.array([np.nan]))).all()
