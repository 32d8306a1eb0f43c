"""Diagnostics of chains: the numbers of ArviZ 0.23.4, and what they must say of chains whose law is known."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import ndtri

from genprob.engine.diagnostics import (
    ebfmi,
    ess,
    ess_bulk,
    ess_quantile,
    ess_tail,
    mcse_mean,
    mcse_quantile,
    nested_rhat,
    rhat,
)
from genprob.engine.diagnostics.normal_scores import normal_scores
from genprob.errors import UsageError


def uniforms(count, seed):
    """Knuth's linear congruential generator: the same on every machine and in every version."""
    found, at = [], seed
    for _ in range(count):
        at = (at * 6364136223846793005 + 1442695040888963407) % 2**64
        found.append(((at >> 11) + 0.5) / 2**53)
    return np.array(found)


def chains(phi, draws, count, shift, seed):
    """Normal autoregressive chains `[draw, chain]`, each shifted against the one before."""
    noise = ndtri(uniforms(draws * count, seed)).reshape(draws, count)
    for t in range(1, draws):
        noise[t] = phi * noise[t - 1] + math.sqrt(1 - phi * phi) * noise[t]
    return noise + shift * np.arange(count)


CASES = {
    "independent": chains(0.0, 200, 4, 0.0, 1),
    "slow": chains(0.95, 300, 4, 0.0, 2),
    "antithetic": chains(-0.6, 101, 3, 0.0, 3),
    "apart": chains(0.3, 150, 4, 0.5, 4),
    "counts": np.floor(4 * uniforms(256, 5)).reshape(64, 4),
    "heavy": 1 / chains(0.2, 501, 2, 0.0, 6),
    "few": chains(0.0, 5, 2, 0.0, 7),
}

# rhat, ess, bulk, tail, mcse of mean, median and 90 % quantile, ebfmi of the first chain
ARVIZ = {
    "independent": [
        1.00094698488,
        742.895755837,
        748.447407373,
        811.809655675,
        0.0364594040783,
        0.0580274926816,
        0.047440835722,
        2.09206806788,
    ],
    "slow": [
        1.05961681024,
        41.4803794418,
        42.5049315332,
        93.6091819806,
        0.153479680848,
        0.121184764633,
        0.123812653926,
        0.218969443356,
    ],
    "antithetic": [
        0.995864777872,
        743.136376416,
        743.136376416,
        233.691023676,
        0.0361322359538,
        0.0579795877416,
        0.132897251078,
        3.01589330379,
    ],
    "apart": [
        1.14776219363,
        20.219837889,
        20.0323094611,
        302.919959475,
        0.255631301614,
        0.217475728523,
        0.151117093886,
        1.19099186609,
    ],
    "counts": [1.00941621379, 266.391459308, 263.908025127, 225.437375846, 0.068828543605, 0, 0, 1.91932418163],
    "heavy": [
        0.999176096381,
        1008.89280342,
        962.306942915,
        914.377259107,
        4.41182476058,
        0.482712317101,
        0.322402354195,
        2.002683721,
    ],
    "few": [
        0.919745184489,
        7.22471989594,
        7.22471989594,
        7.22471989594,
        0.407671679472,
        0.578393268777,
        1.04942735643,
        2.11493188294,
    ],
}


@pytest.mark.parametrize("name", CASES)
def test_the_numbers_are_arviz_own(name):
    draws = torch.tensor(CASES[name])
    found = [f(draws) for f in (rhat, ess, ess_bulk, ess_tail, mcse_mean)]
    found += [mcse_quantile(draws, 0.5), mcse_quantile(draws, 0.9), ebfmi(draws)[0]]
    np.testing.assert_allclose([float(value) for value in found], ARVIZ[name], rtol=1e-9)


def test_trailing_dimensions_are_a_batch():
    draws = torch.tensor(np.stack([chains(phi, 100, 3, 0.0, seed) for seed, phi in enumerate((0, 0.5, 0.9, -0.4))], -1))
    together = draws.unflatten(-1, (2, 2))
    for of in (rhat, ess, ess_bulk, ess_tail, mcse_mean, lambda x: mcse_quantile(x, 0.3), lambda x: nested_rhat(x, 3)):
        alone = torch.stack([of(draws[..., j]) for j in range(4)])
        torch.testing.assert_close(of(together), alone.reshape(2, 2))
    assert ebfmi(together).shape == (3, 2, 2)


def test_effective_size_of_autoregressive_chains_is_that_of_theory():
    """(1 - phi) / (1 + phi) of the draws, for the mean."""
    for seed, phi in enumerate((0.0, 0.8, -0.5)):
        draws = torch.tensor(chains(phi, 4000, 4, 0.0, seed))
        wanted = (1 - phi) / (1 + phi) * 16000
        assert float(ess(draws)) == pytest.approx(wanted, rel=0.15)
        assert float(ess_bulk(draws)) == pytest.approx(wanted, rel=0.15)
        assert float(mcse_mean(draws)) == pytest.approx(wanted**-0.5, rel=0.1)


def test_error_of_a_quantile_is_that_of_independent_draws():
    draws = torch.tensor(chains(0.0, 4000, 4, 0.0, 3))
    for probability in (0.1, 0.5):
        density = math.exp(-0.5 * ndtri(probability) ** 2) / math.sqrt(2 * math.pi)
        wanted = math.sqrt(probability * (1 - probability) / 16000) / density
        assert float(mcse_quantile(draws, probability)) == pytest.approx(wanted, rel=0.15)


def test_rhat_sees_location_scale_and_one_chain_that_drifts():
    base = chains(0.0, 400, 4, 0.0, 8)
    wide, away, drifting = base.copy(), base.copy(), base.copy()
    wide[:, 0] *= 3
    away[:, 0] += 1
    drifting[:, 0] += np.linspace(-1, 1, 400)
    found = rhat(torch.tensor(np.stack([base, wide, away, drifting], -1)))
    assert float(found[0]) < 1.01 and float(found[1:].min()) > 1.03


def test_nested_rhat_tells_started_from_forgotten():
    """K groups of M chains with one draw each: (1 + B/W) of normals about their starting points."""
    noise = ndtri(uniforms(64 * 16 * 4, 9)).reshape(4, 64, 16)
    start = ndtri(uniforms(64, 10))[:, None]
    forgotten, near = noise.reshape(4, -1), (0.5 * noise + start).reshape(4, -1)
    assert float(nested_rhat(torch.tensor(forgotten[:1]), 64)) == pytest.approx(math.sqrt(1 + 1 / 16), abs=0.02)
    assert float(nested_rhat(torch.tensor(forgotten), 64)) < 1.02
    # Between 1 + 1/64, within 1/4 twice over: between chains and within each.
    groups = 0.5 * noise + start
    means = groups.mean(0)
    wanted = math.sqrt(1 + means.mean(1).var(ddof=1) / (groups.var(0, ddof=1).mean(1) + means.var(1, ddof=1)).mean())
    assert float(nested_rhat(torch.tensor(near), 64)) == pytest.approx(wanted) and wanted > 1.5


def test_constants_and_chains_that_stand_apart():
    constant = torch.full((20, 4), 3.0)
    assert float(rhat(constant)) == 1.0 and float(ess_bulk(constant)) == 80.0
    stuck = torch.arange(4.0).expand(20, 4)
    assert float(rhat(stuck)) > 1e3 and float(ess(stuck)) < 8
    assert float(nested_rhat(constant, 2)) == 1.0
    missing = torch.randn(20, 4).index_put((torch.tensor(3), torch.tensor(1)), torch.tensor(torch.nan))
    assert all(math.isnan(float(of(missing))) for of in (rhat, ess, ess_bulk, ess_tail, mcse_mean))
    assert math.isnan(float(ess_quantile(missing, 0.5)))


def test_discrete_draws_are_taken():
    draws = torch.tensor(CASES["counts"]).long()
    assert float(ess_bulk(draws)) == pytest.approx(ARVIZ["counts"][2])


def test_too_little_is_refused():
    with pytest.raises(UsageError, match="four draws"):
        rhat(torch.zeros(3, 4))
    with pytest.raises(UsageError, match="equal size"):
        nested_rhat(torch.zeros(5, 9), 4)


def test_ebfmi_falls_with_energies_that_hardly_move():
    fast, slow = (torch.tensor(chains(phi, 2000, 2, 0.0, 11)) for phi in (0.0, 0.95))
    assert float(ebfmi(fast).min()) == pytest.approx(2, abs=0.2) and float(ebfmi(slow).max()) < 0.2


@pytest.mark.parametrize("ties", [False, True])
def test_normal_scores_are_quantiles_of_mean_ranks(ties):
    draws = torch.randn(40, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    draws = draws.round() if ties else draws
    for column in range(2):
        rank = stats.rankdata(draws[..., column].flatten())
        truth = stats.norm.ppf((rank - 0.375) / (120 + 0.25))
        assert np.allclose(normal_scores(draws)[..., column].flatten(), truth)
    draws[3, 1, 0] = torch.nan
    assert normal_scores(draws)[..., 0].isnan().all() and not normal_scores(draws)[..., 1].isnan().any()


def test_chains_that_are_constant_but_differ_in_halves_are_infinitely_apart():
    assert torch.isinf(rhat(torch.arange(4.0).remainder(2).expand(10, 4)))
