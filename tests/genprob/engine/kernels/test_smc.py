"""Annealed sequential Monte Carlo on laws whose normalisers are known."""

import math

import numpy as np
import pytest
import torch

from genprob.engine.kernels.smc import Cooling, anneal, systematic


class Normals:
    """From N(0, 3^2) in every column to exp(-|x - m_g|^2 / (2 s^2)), unnormalised."""

    def __init__(self, centre, sd, width=2):
        self.centre, self.sd, self.width = torch.tensor(centre, dtype=torch.float64), sd, width

    def start(self, particles):
        return 3 * torch.randn(len(self.centre), particles, self.width, dtype=torch.float64)

    def scores(self, points):
        base = torch.distributions.Normal(0.0, 3.0).log_prob(points).sum(-1)
        wanted = -0.5 * ((points - self.centre[:, None, None]) / self.sd).square().sum(-1)
        return base, wanted - base

    def log_normaliser(self):
        return self.width * math.log(self.sd * math.sqrt(2 * math.pi))


@pytest.mark.parametrize("gradient", [True, False])
def test_normaliser_moments_and_error_are_right(gradient):
    torch.manual_seed(0)
    path = Normals([0.0, 4.0] * 30, 0.3)
    out = anneal(path, Cooling(path, (0, 1), gradient=gradient), 256)
    off = (out.log_ratio - path.log_normaliser()).numpy()
    error = out.variance.sqrt().numpy()
    assert out.finished.all() and (out.acceptance > 0.15).all()
    z = off / error
    assert abs(z.mean()) < 4 / np.sqrt(60) + 0.15 and 0.5 < z.std() < 1.3
    mean = (out.log_weight.exp()[..., None] * out.points).sum(1).mean(-1)
    np.testing.assert_allclose(mean, path.centre, atol=0.12)
    weight = out.log_weight.exp()[..., None]
    away = out.points - (weight * out.points).sum(1, keepdim=True)
    assert (weight * away.square()).sum(1).sqrt().mean() == pytest.approx(0.3, abs=0.02)


def test_every_problem_has_its_own_ladder():
    torch.manual_seed(1)
    path = Normals([0.0, 0.0], 3.0)  # the base itself
    path.sd = torch.tensor([3.0, 0.05], dtype=torch.float64)[:, None, None]
    out = anneal(path, Cooling(path, (0, 1)), 512)
    assert out.temperatures[0] == 1 and out.temperatures[1] > 4
    np.testing.assert_allclose(out.log_ratio, 2 * np.log(np.array([3, 0.05]) * np.sqrt(2 * np.pi)), atol=0.25)


class Listed:
    """Two columns of indices, from uniform to weights that favour agreement; the second problem has fewer indices."""

    size = torch.tensor([[4, 3], [2, 3]])

    def start(self, particles):
        u = torch.rand(2, particles, 2, dtype=torch.float64)
        return torch.floor(u * self.size[:, None])

    def scores(self, points):
        base = -torch.log(self.size.double()).sum(1)[:, None].expand(points.shape[:2])
        return base, self.wanted(points) - base

    @staticmethod
    def wanted(points):
        return torch.where(points[..., 0] == points[..., 1], 3.0, 0.1 * points[..., 0])


def test_listed_columns_reach_their_law_and_nothing_else():
    torch.manual_seed(2)
    path = Listed()
    out = anneal(path, Cooling(path, (), (0, 1), path.size), 4000)
    for g in range(2):
        every = torch.cartesian_prod(*(torch.arange(int(n)) for n in path.size[g])).double()
        mass = path.wanted(every).exp()
        assert out.log_ratio[g] == pytest.approx(math.log(mass.sum()), abs=0.05)
        weight = out.log_weight[g].exp()
        found = torch.stack([weight[(out.points[g] == x).all(-1)].sum() for x in every])
        assert found.sum() == pytest.approx(1.0)  # no other index occurs
        np.testing.assert_allclose(found, mass / mass.sum(), atol=0.04)


class Cut(Normals):
    """Nothing left of zero is possible; the second problem excludes everything."""

    def scores(self, points):
        base, gain = super().scores(points)
        out = points[..., 0] < 0
        out[1:] = True
        return base, torch.where(out, -torch.inf, gain)


def test_excluded_points_cost_evidence_and_impossible_problems_say_so():
    torch.manual_seed(3)
    path = Cut([0.0, 0.0], 1.0)
    out = anneal(path, Cooling(path, (0, 1)), 2000)
    assert out.log_ratio[0] == pytest.approx(path.log_normaliser() - math.log(2), abs=0.12)
    assert (out.points[0, :, 0] >= 0).all()
    assert out.log_ratio[1] == -torch.inf


def test_resampling_is_in_proportion():
    torch.manual_seed(4)
    weight = torch.tensor([[0.1, 0.0, 0.6, 0.3]], dtype=torch.float64).expand(500, 4)
    found = torch.bincount(systematic(weight).flatten(), minlength=4) / 2000
    np.testing.assert_allclose(found, weight[0], atol=0.015)
    assert found[1] == 0


def test_families_bound_the_error_where_particles_cannot_move():
    """A kernel that stands still: all the error is in who survives, and the families see it."""

    class Still:
        def init(self, points):
            return {}

        def step(self, points, log_weight, beta, memory):
            return points, memory, torch.ones(len(points), dtype=torch.float64)

    torch.manual_seed(5)
    path = Normals([1.0] * 200, 1.0)
    out = anneal(path, Still(), 200)
    z = ((out.log_ratio - path.log_normaliser()) / out.variance.sqrt()).numpy()
    assert 0.6 < z.std() < 1.3
