"""Mixtures of normals against scipy and quadrature: density, slope, draws, conditionals."""

import numpy as np
import pytest
import torch
from scipy import stats

from genprob_energy.base import NormalMixture


@pytest.fixture
def base():
    torch.manual_seed(0)
    out = NormalMixture(3, 3)
    root = torch.randn(3, 3, 3).double()
    out.set(torch.tensor([0.5, 0.3, 0.2]), torch.randn(3, 3), root @ root.mT + 0.1 * torch.eye(3))
    return out


def parts(base):
    covariance = (base.factor @ base.factor.mT).numpy()
    return list(zip(base.log_share.exp().numpy(), base.mean.numpy(), covariance, strict=True))


def density(base, x, columns):
    return sum(w * stats.multivariate_normal(m[columns], c[np.ix_(columns, columns)]).pdf(x) for w, m, c in parts(base))


@pytest.mark.parametrize("components", [3, 1])
def test_density_and_slope(base, components):
    if components == 1:
        whole, base = base, NormalMixture(1, 3)
        base.set(torch.ones(1), whole.mean[:1], whole.factor[:1] @ whole.factor[:1].mT)
    at = torch.randn(5, 4, 3).double().requires_grad_()
    value, slope = base.slope(at)
    np.testing.assert_allclose(value.detach().exp().numpy(), density(base, at.detach().numpy(), [0, 1, 2]), rtol=1e-6)
    torch.testing.assert_close(slope, torch.autograd.grad(base.log_density(at).sum(), at)[0])


def test_what_is_given_and_what_follows(base):
    """log p(given) is the marginal's; draws of the rest have the conditional's mean and covariance."""
    known = torch.tensor([[True, False, True], [False, False, False], [True, True, True]])
    value = torch.randn(3, 3)
    given = base.given(known, value)
    x = value.double().numpy()
    assert given.log_density[0].exp() == pytest.approx(density(base, x[0, [0, 2]], [0, 2]), rel=1e-6)
    assert float(given.log_density[1]) == pytest.approx(0, abs=1e-12)
    assert given.log_density[2].exp() == pytest.approx(density(base, x[2], [0, 1, 2]), rel=1e-6)
    drawn = given.draw(20_000)
    assert torch.equal(drawn[0][:, [0, 2]], value[0, [0, 2]].expand(20_000, 2)) and torch.equal(drawn[2, 0], value[2])
    grid = np.linspace(-25, 25, 4001)
    mass = density(base, np.stack([np.full(4001, x[0, 0]), grid, np.full(4001, x[0, 2])], 1), [0, 1, 2])
    mass /= mass.sum()
    mean = mass @ grid
    sd = np.sqrt(mass @ (grid - mean) ** 2)
    middle = drawn[0, :, 1].double().numpy()
    assert abs(middle.mean() - mean) < 4 * sd / 20_000**0.5 and middle.std() == pytest.approx(sd, rel=0.03)
    whole = sum(w * m for w, m, _ in parts(base))
    assert np.abs(drawn[1].double().numpy().mean(0) - whole).max() < 0.1


def test_a_fit_finds_two_groups_and_keeps_a_wide_one():
    torch.manual_seed(0)
    side = (torch.rand(2000, 1) < 0.3).float()
    points = torch.randn(2000, 2) * 0.3 + 4 * side
    base = NormalMixture(3, 2)
    base.fit(points, 0)
    shares = base.log_share.exp()
    assert sorted(shares[:2].tolist()) == pytest.approx([0.98 * 0.3, 0.98 * 0.7], abs=0.03)
    assert float(shares[2]) == pytest.approx(0.02) and float(base.factor[2, 0, 0]) > 3
    drawn = base.draw(4000)
    assert drawn.dtype == torch.float32 and float((drawn[:, 0] > 2).float().mean()) == pytest.approx(0.3, abs=0.04)
