"""Contractive and sparse codes: the penalty beside autograd's Jacobian, and what it does to a fit."""

import numpy as np
import pytest
import torch

import genprob
from genprob.errors import UsageError
from genprob.nets.mlp import mlp
from genprob_denoising.code import coded


def test_the_contractive_penalty_is_the_squared_jacobian():
    torch.manual_seed(0)
    network = mlp(6, (5, 4), 2).double()
    points = torch.randn(7, 3, dtype=torch.float64)

    def code(x):
        return network[:-1](torch.cat([x, torch.ones(3, dtype=torch.float64)]))

    layer, stretch = coded(network, points)
    for x, found, norm in zip(points, layer, stretch, strict=True):
        jacobian = torch.autograd.functional.jacobian(code, x)
        assert torch.allclose(found, code(x)) and torch.allclose(norm, jacobian.square().sum())
    points[:, 1] = torch.nan
    full = torch.where(torch.isnan(points), 0.0, points)
    flags = torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda x: network[:-1](torch.cat([x, flags])), full[0])
    assert torch.allclose(coded(network, points)[1][0], jacobian[:, [0, 2]].square().sum())


@pytest.fixture(scope="module")
def rows():
    drawn = np.random.default_rng(0).multivariate_normal([0, 0], [[1.0, 0.8], [0.8, 1.0]], 1000)
    return {"x": drawn[:, 0], "y": drawn[:, 1]}


@pytest.mark.parametrize("form", ["energy", "plain"])
def test_penalties_contract_codes_and_make_them_sparse(rows, form):
    how = {"name": "dsm", "lr": 1e-2, "batch_size": 128}
    stretch, size = {}, {}
    for name, options in {"none": {}, "contract": {"contract": 0.1}, "sparse": {"sparse": 0.1}}.items():
        joint = genprob.fit(rows, "dae", form=form, hidden=(16,), steps=150, seed=0, inference=how, **options)
        model = joint.model
        code, norm = coded(model.network.network, model.points(joint.reference).float())
        assert torch.equal(code.detach(), model.code(joint.reference))
        stretch[name], size[name] = norm.mean().item(), code.abs().mean().item()
    assert stretch["contract"] < 0.5 * stretch["none"]
    assert size["sparse"] < 0.5 * size["none"]


def test_penalties_that_cannot_be_are_refused(rows):
    with pytest.raises(UsageError, match="cannot be negative"):
        genprob.fit(rows, "dae", contract=-1.0, steps=0)
    with pytest.raises(UsageError, match="hidden has none"):
        genprob.fit(rows, "dae", hidden=(), sparse=0.1, steps=0)
    with pytest.raises(UsageError, match="energy and plain"):
        genprob.fit(rows, "dae", form="reconstruction", sparse=0.1, steps=0)
