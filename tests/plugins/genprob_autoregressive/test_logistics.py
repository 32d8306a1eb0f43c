import numpy as np
import torch

from genprob_autoregressive.logistics import draw_between, log_mass


def double(*values):
    return [torch.tensor(v, dtype=torch.float64) for v in values]


def test_log_mass_is_a_difference_of_distribution_functions():
    lo, hi, loc, scale = double([-1.0, 0.3, -9.0], [1.0, 0.4, 2.0], [0.2, 0.0, 1.0], [1.0, 0.5, 2.0])
    expected = torch.log(torch.sigmoid((hi - loc) / scale) - torch.sigmoid((lo - loc) / scale))
    assert torch.allclose(log_mass(lo, hi, loc, scale), expected)


def test_slivers_and_far_tails_lose_no_digits():
    lo, hi, loc, scale = double([3.0, 200.0, -201.0], [3.0 + 1e-9, 201.0, -200.0], [0.0] * 3, [1.0] * 3)
    width = torch.tensor([1e-9, 1.0, 1.0], dtype=torch.float64)
    got = log_mass(lo, hi, loc, scale, width)
    density = np.log(1e-9) - 3 - 2 * np.log1p(np.exp(-3))
    tail = -200 + np.log(-np.expm1(-1))
    assert np.allclose(got.numpy(), [density, tail, tail], atol=1e-6)
    assert float(log_mass(*double(1.0, 1.0, 0.0, 1.0))) == -np.inf


def test_neighbouring_cells_add_up():
    edges = torch.linspace(-50, 50, 400, dtype=torch.float64)
    mass = log_mass(edges[:-1], edges[1:], *double(0.7, 0.3)).exp().sum()
    assert abs(float(mass) - 1) < 1e-12


def test_draws_between_follow_the_truncated_law():
    torch.manual_seed(0)
    for a, b in ((-1.0, 0.5), (2.0, 30.0), (-30.0, -2.0), (10.0, 10.5)):
        lo, hi, loc, scale = (t.expand(20_000) for t in double(a, b, 0.3, 0.8))
        x = draw_between(lo, hi, loc, scale)
        assert bool(((x >= lo) & (x <= hi)).all())
        cut = torch.quantile(x, 0.5).expand(1)
        below = (log_mass(lo[:1], cut, loc[:1], scale[:1]) - log_mass(lo[:1], hi[:1], loc[:1], scale[:1])).exp()
        assert abs(float(below) - 0.5) < 0.02
