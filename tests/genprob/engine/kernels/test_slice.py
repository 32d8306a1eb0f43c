"""Slices: where an interval lies must not tell where its chain stands."""

import pytest
import torch

from genprob.engine.kernels import Slice

CHAINS = 40_000


@pytest.mark.parametrize("out", [1, 2, 16])
def test_slices_with_gaps_keep_their_law(out):
    """A narrow and a wide bump: intervals bridge the gap from one side more easily than from the other."""
    narrow, wide = torch.distributions.Normal(-1.0, 0.15), torch.distributions.Normal(1.0, 0.8)

    def log_density(x):
        x = x[:, 0]
        return torch.logaddexp(narrow.log_prob(x), wide.log_prob(x)) - torch.tensor(2.0).log()

    first = torch.rand(CHAINS) < 0.5
    at = torch.where(first, narrow.sample((CHAINS,)), wide.sample((CHAINS,))).double()[:, None]
    kernel = Slice(log_density, width=1.2, out=out)
    memory = kernel.init(at)
    for _ in range(12):
        at, memory, _ = kernel.step(at, memory)
    x = at[:, 0]
    for found, wanted, variance in (
        (x, 0.0, 1.33125),
        ((x < -0.55).double(), *share(narrow, wide, -0.55)),
        (x.square(), 1.33125, 3.2),
    ):
        assert abs(float(found.mean()) - wanted) / (variance / CHAINS) ** 0.5 < 4


def share(narrow, wide, level):
    p = float(0.5 * (narrow.cdf(torch.tensor(level)) + wide.cdf(torch.tensor(level))))
    return p, p * (1 - p)


def test_an_interval_is_no_longer_than_it_may_be():
    kernel = Slice(lambda x: torch.zeros(len(x)), width=0.5, out=3)
    at = torch.zeros(2000, 1)
    new, _, metrics = kernel.step(at, kernel.init(at))
    assert float(metrics["interval"].max()) == pytest.approx(1.5) and float(metrics["interval"].min()) == pytest.approx(
        1.5
    )
    assert float(new.abs().max()) <= 1.5 and bool((metrics["evaluations"] == 3).all())
    # Where in its interval a chain stands is uniform: a flat density moves it by a triangle of variance 3 / 8.
    assert float(new.var()) == pytest.approx(1.5**2 / 6, rel=0.1)
