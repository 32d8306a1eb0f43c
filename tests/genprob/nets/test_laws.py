"""Laws in encoded coordinates: densities integrate, intervals are their integrals, draws follow, far tails too."""

import numpy as np
import pytest
import torch

from genprob.nets.laws import ContinuousBernoulli, LogisticMixture, Normal


def double(*values):
    return torch.tensor(values, dtype=torch.float64)


LAWS = {
    "normal": Normal(double(0.3), double(0.7)),
    "logistic": LogisticMixture(
        double(0.2, -0.5, 1.0)[None], double(-1.0, 0.0, 2.0)[None], double(0.1, 0.5, 0.2)[None]
    ),
    "tilted": ContinuousBernoulli(double(3.0), double(0.4), double(1.5)),
    "tilted down": ContinuousBernoulli(double(-40.0), double(-2.0), double(0.7)),
    "level": ContinuousBernoulli(double(1e-9), double(0.0), double(1.0)),
}


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_the_density_integrates_to_what_intervals_hold(law):
    low, high = (float(end) for end in law.reach())
    grid = torch.linspace(low, high, 200_001, dtype=torch.float64)
    density = law.log_prob(grid).exp()
    assert float(torch.trapezoid(density, grid)) == pytest.approx(1, abs=1e-5)
    for a, b in ((low, high), (-1.0, 0.5), (0.5, 0.5001), (-3.0, -2.9)):
        inside = torch.linspace(a, b, 20_001, dtype=torch.float64)
        mass = float(law.log_between(double(a), double(b)).exp())
        assert mass == pytest.approx(float(torch.trapezoid(law.log_prob(inside).exp(), inside)), rel=1e-4, abs=1e-7)
    assert float(law.log_between(double(0.5), double(0.5))) == -np.inf


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_draws_follow_the_law_within_any_interval(law):
    torch.manual_seed(0)
    drawn = law.draw((40_000,))[:, 0]
    lo, hi = torch.quantile(drawn, double(0.3, 0.8))
    assert float(law.log_between(lo, hi).exp()) == pytest.approx(0.5, abs=0.012)
    many = type(law)(*(p.expand(40_000, *p.shape[1:]) for p in vars(law).values()))
    within = many.draw_between(lo, hi)
    assert bool(((within >= lo - 1e-9) & (within <= hi + 1e-9)).all())
    middle = torch.quantile(within, 0.5)
    assert float((law.log_between(lo, middle) - law.log_between(lo, hi)).exp()) == pytest.approx(0.5, abs=0.012)


def test_far_tails_of_a_logistic_keep_their_digits():
    law = LogisticMixture(double(0.0)[None], double(0.0)[None], double(1.0)[None])
    for a, b in ((60.0, 61.0), (-61.0, -60.0)):
        exact = -60 + np.log1p(-np.exp(-1.0))
        assert float(law.log_between(double(a), double(b))) == pytest.approx(exact, abs=1e-9)
        assert a <= float(law.draw_between(double(a), double(b))) <= b


def test_the_continuous_bernoulli_is_level_without_tilt():
    law = ContinuousBernoulli(double(0.0), double(0.0), double(1.0))
    u = double(-2.0, 0.0, 1.0)
    logistic = torch.log(torch.sigmoid(u) * torch.sigmoid(-u))
    assert torch.allclose(law.log_prob(u), logistic)


@pytest.mark.parametrize("tilt", [-0.019, 1e-3, 0.019, 0.021, 5.0, -30.0])
def test_the_constant_of_a_continuous_bernoulli_is_exact(tilt):
    law = ContinuousBernoulli(double(tilt), double(0.0), double(1.0))
    level = ContinuousBernoulli(double(0.0), double(0.0), double(1.0))
    u = double(0.3)
    exact = tilt / (1 + np.exp(-0.3)) - np.log(np.expm1(tilt) / tilt)
    assert float(law.log_prob(u) - level.log_prob(u)) == pytest.approx(exact, abs=1e-11)
