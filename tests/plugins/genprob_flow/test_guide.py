"""The guide: proposals in three columns, weighted against a Gaussian whose conditionals are known."""

import numpy as np
import pytest
import torch

import genprob
from genprob.data.encoders import Encoder
from genprob.data.schema import Schema, Variable
from genprob.data.support import Real
from genprob.query.batch import QueryBatch
from genprob_flow.boxes import Boxes
from genprob_flow.guide import Guide

SCHEMA = Schema((Variable("a", Real()), Variable("b", Real()), Variable("c", Real())))
MEAN = np.array([0.0, 1.0, -0.5])
COVARIANCE = np.array([[1.0, 0.6, -0.3], [0.6, 1.2, 0.2], [-0.3, 0.2, 0.8]])


@pytest.fixture(scope="module")
def guide():
    rows = np.random.default_rng(0).multivariate_normal(MEAN, COVARIANCE, 1000)
    guide = Guide(3, 2)
    guide.fit(rows, 0)
    return guide


@pytest.mark.parametrize(
    "given", [{"c": 0.4}, {"b": 2.0}, {"a": -0.7, "c": 0.1}, {"c": 0.4, "a": genprob.Within(0, 2)}]
)
def test_weighted_proposals_are_the_conditional_of_a_gaussian(guide, given):
    boxes = Boxes.of(Encoder(SCHEMA), QueryBatch.from_evidence(SCHEMA, [given]), torch.device("cpu"))
    torch.manual_seed(0)
    z, minus_log_q = guide.propose(boxes, 40_000)
    law = torch.distributions.MultivariateNormal(torch.as_tensor(MEAN), torch.as_tensor(COVARIANCE))
    weight = law.log_prob(z) + minus_log_q
    share = torch.softmax(weight, 1)
    error = share.square().sum().sqrt().item()
    assert error < 0.05
    rows = np.random.default_rng(1).multivariate_normal(MEAN, COVARIANCE, 400_000)
    points = [j for j, name in enumerate(SCHEMA.names) if isinstance(given.get(name), float)]
    free = [j for j in range(3) if j not in points]
    value = np.array([given[SCHEMA.names[j]] for j in points])
    gain = np.linalg.solve(COVARIANCE[np.ix_(points, points)], COVARIANCE[np.ix_(points, free)])
    drawn = rows[:, free] + (value - rows[:, points]) @ gain  # draws given the points
    kept = (drawn[:, 0] > 0) & (drawn[:, 0] < 2) if "a" in given and 0 in free else np.ones(len(drawn), dtype=bool)
    marginal = torch.distributions.MultivariateNormal(
        torch.as_tensor(MEAN[points]), torch.as_tensor(COVARIANCE[np.ix_(points, points)])
    )
    truth = marginal.log_prob(torch.as_tensor(value)).item() + np.log(kept.mean())
    assert torch.logsumexp(weight, 1).item() - np.log(40_000) == pytest.approx(truth, abs=5 * error + 0.01)
    assert (z[..., points] == torch.as_tensor(value)).all()
    found = (share[..., None] * z).sum(1)[0, free].numpy()
    assert found == pytest.approx(drawn[kept].mean(0), abs=5 * error)


def test_log_density_of_known_columns_is_the_marginal_mixture(guide):
    z = torch.tensor([[0.3, 1.5, -0.2]], dtype=torch.float64)
    known = torch.tensor([[False, True, True]])
    grid = torch.linspace(-25, 25, 20_001, dtype=torch.float64)
    rows = torch.stack([grid, torch.full_like(grid, 1.5), torch.full_like(grid, -0.2)], 1)
    whole = guide.log_density(rows, torch.ones_like(rows, dtype=torch.bool))
    truth = torch.logsumexp(whole, 0) + torch.log(grid[1] - grid[0])
    assert guide.log_density(z, known).item() == pytest.approx(truth.item(), abs=1e-4)


def test_responsibilities_are_those_of_the_mixture(guide):
    z = torch.as_tensor(np.random.default_rng(5).normal(0, 3, (4, 50, 3)))
    covariance = guide._covariance()
    law = torch.distributions.MultivariateNormal(guide.mean, covariance)
    truth = torch.log_softmax(guide.log_share + law.log_prob(z[..., None, :]), -1)
    assert torch.allclose(guide._responsibility(z), truth, atol=1e-8)
