"""Diagnostics against scipy's fits and against plain Monte Carlo."""

import numpy as np
import pytest
from scipy import stats

from genprob.query.diagnostics import (
    acceptable_k,
    effective_sample_size,
    log_mean_error,
    pareto_k,
    pareto_k_of,
    pareto_smooth,
)


@pytest.mark.parametrize("shape", [-0.3, 0.1, 0.5, 0.9, 1.4])
def test_k_hat_finds_the_shape_of_the_tail(shape):
    weight = stats.genpareto.rvs(shape, size=(40, 20_000), random_state=np.random.default_rng(1))
    assert pareto_k(np.log(weight)).mean() == pytest.approx(shape, abs=0.05)


@pytest.mark.parametrize("spread", [0.5, 1.0, 2.0, 4.0])
def test_k_hat_agrees_with_scipys_fit_of_the_same_tail(spread):
    draws = 10_000
    log_weight = spread * np.random.default_rng(2).normal(size=(12, draws))
    tail = int(3 * np.sqrt(draws))
    found = pareto_k(log_weight)
    peers = []
    for row in log_weight:
        ordered = np.sort(np.exp(row - row.max()))
        excess = ordered[-tail:] - ordered[-tail - 1]
        k = stats.genpareto.fit(excess, floc=0, scale=excess.mean())[0]
        peers.append((tail * k + 5) / (tail + 10))  # the prior of ten observations at one half
    np.testing.assert_allclose(found, peers, atol=0.06)


def test_few_weights_are_drawn_towards_one_half():
    weight = stats.expon.rvs(size=(400, 100), random_state=np.random.default_rng(5))  # a tail of 20, of shape 0
    assert 0.1 < pareto_k(np.log(weight)).mean() < 0.25


def test_k_hat_of_weights_without_a_tail():
    assert pareto_k(np.zeros((1, 1000))).tolist() == [-np.inf]
    assert np.isnan(pareto_k(np.full((1, 1000), -np.inf))).all()
    assert np.isnan(pareto_k(np.zeros((1, 10)))).all()
    bounded = np.log(np.random.default_rng(0).uniform(1, 2, (20, 4000)))
    assert pareto_k(bounded).mean() < 0


def test_k_hat_does_not_depend_on_the_scale_or_the_order():
    log_weight = 2 * np.random.default_rng(3).normal(size=(3, 3000))
    k = pareto_k(log_weight)
    np.testing.assert_allclose(pareto_k(log_weight + 1000.0), k, atol=1e-9)
    np.testing.assert_allclose(pareto_k(log_weight[:, ::-1] - 2000.0), k, atol=1e-9)


@pytest.mark.parametrize("draws, limit", [(10, 0.0397), (100, 0.5), (1024, 0.6678), (10**4, 0.7), (10**6, 0.7)])
def test_acceptable_k(draws, limit):
    assert acceptable_k(draws) == pytest.approx(limit, abs=1e-3)


def test_effective_sample_size_counts_equal_weights():
    assert effective_sample_size(np.full((2, 50), -700.0)).tolist() == [50, 50]
    assert effective_sample_size(np.array([[0.0] + [-np.inf] * 9])).tolist() == [1]
    assert effective_sample_size(np.full((1, 5), -np.inf)).tolist() == [0]
    half = np.where(np.arange(100) < 30, 0.0, -np.inf)[None]
    assert effective_sample_size(half)[0] == pytest.approx(30)


@pytest.mark.parametrize("spread", [0.0, 0.3, 1.0])
def test_error_of_the_log_mean_is_that_of_repetitions(spread):
    log_weight = spread * np.random.default_rng(4).normal(size=(4000, 500))
    means = np.log(np.exp(log_weight).mean(1))
    assert log_mean_error(log_weight).mean() == pytest.approx(means.std(), rel=0.08, abs=1e-9)


def test_k_hat_of_a_functional_sees_tails_that_the_weights_have_not():
    u = np.random.default_rng(6).uniform(size=(30, 5000))
    log_weight = -0.3 * np.log(u)  # of shape .3
    assert pareto_k_of(log_weight, u).mean() == pytest.approx(0.3, abs=0.07)
    for sign in (1, -1):  # either tail
        assert pareto_k_of(log_weight, sign * u**-0.5).mean() == pytest.approx(0.8, abs=0.12)
    flat = np.zeros((2, 1000))
    assert (pareto_k_of(flat, np.ones((2, 1000))) == -np.inf).all()


def test_smoothing_lessens_the_error_of_averages_and_touches_the_tail_only():
    rng = np.random.default_rng(7)
    u = rng.uniform(size=(400, 1000))
    log_weight = -0.7 * np.log(u)
    smooth = pareto_smooth(log_weight)
    assert (smooth.max(1) <= log_weight.max(1) + 1e-12).all()
    changed = smooth != log_weight
    assert (changed.sum(1) <= 3 * np.sqrt(1000) + 1).all() and changed.any(1).all()
    assert (np.argsort(smooth, 1)[:, -5:] == np.argsort(log_weight, 1)[:, -5:]).mean() > 0.95

    def off(log_w):
        w = np.exp(log_w - log_w.max(1, keepdims=True))
        return (w * u).sum(1) / w.sum(1) - (0.3 / 1.3)  # the mean of u under u^-.7

    assert np.sqrt((off(smooth) ** 2).mean()) < 0.95 * np.sqrt((off(log_weight) ** 2).mean())
    assert pareto_smooth(np.zeros((1, 100))).tolist() == np.zeros((1, 100)).tolist()
