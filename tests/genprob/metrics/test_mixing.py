"""Chains with known laws: an autoregression and a chain of two states."""

import numpy as np
import pytest

from genprob.metrics.mixing import autocorrelation, changes, expected_visits, return_times, visited


def autoregression(rho, steps=2000, chains=40, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(chains)
    out = []
    for _ in range(steps):
        x = rho * x + np.sqrt(1 - rho**2) * rng.standard_normal(chains)
        out.append(x)
    return np.stack(out)


def two_states(a, b, steps=3000, chains=40, seed=0):
    """Leaves 0 with probability a, and 1 with b; begun in its law."""
    rng = np.random.default_rng(seed)
    state = (rng.random(chains) < a / (a + b)).astype(int)
    out = []
    for _ in range(steps):
        state = np.where(rng.random(chains) < np.where(state == 0, a, b), 1 - state, state)
        out.append(state)
    return np.stack(out)


@pytest.mark.parametrize("rho", [0.9, 0.5, -0.3])
def test_the_autocorrelation_of_an_autoregression_is_its_power(rho):
    lags = (1, 2, 5, 10)
    found = autocorrelation(autoregression(rho)[..., None], lags)
    wanted = rho ** np.array(lags)
    assert (np.abs(found.value - wanted) < 4 * found.error + 0.01).all() and found.error.max() < 0.02


def test_chains_that_are_stuck_in_different_places_correlate_at_every_lag():
    stuck = np.array([-5.0, 5.0]) + 0.01 * np.random.default_rng(0).standard_normal((300, 2))
    assert autocorrelation(stuck[..., None], (1, 100)).value == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("a, b", [(0.02, 0.05), (0.3, 0.1)])
def test_return_times_and_visits_of_two_states_are_those_of_theory(a, b):
    cells = two_states(a, b)
    found, entries = return_times(cells, 2)
    wanted = 1 / a + 1 / b
    assert (np.abs(found.value - wanted) < 4 * found.error).all() and (found.error < 0.06 * wanted).all()
    assert abs(int(entries[0]) - int(entries[1])) <= 40
    seen, moved = visited(cells, 100), changes(cells, 100)
    stays = (b * (1 - a) ** 99 + a * (1 - b) ** 99) / (a + b)
    assert abs(seen.value - (2 - stays)) < 4 * seen.error + 1e-3
    assert abs(moved.value - 100 * 2 * a * b / (a + b)) < 4 * moved.error and moved.error > 0


def test_independent_draws_return_and_visit_as_expected():
    share = np.array([0.6, 0.3, 0.1])
    cells = np.random.default_rng(1).choice(3, p=share, size=(4000, 30))
    found, _ = return_times(cells, 3)
    assert (np.abs(found.value - 1 / (share * (1 - share))) < 4 * found.error).all()
    seen = visited(cells, 10)
    assert abs(seen.value - expected_visits(share, 10)) < 4 * seen.error


def test_cells_that_are_never_entered_have_no_return_time():
    found, entries = return_times(np.zeros((50, 3), dtype=int), 2)
    assert np.isnan(found.value).all() and entries.tolist() == [0, 0]
