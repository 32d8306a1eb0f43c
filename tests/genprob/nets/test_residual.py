import torch

from genprob.nets.residual import ResidualTrunk


def test_it_starts_as_its_first_layer_and_every_parameter_learns():
    torch.manual_seed(0)
    trunk = ResidualTrunk(5, hidden=8, blocks=2, dropout=0.0)
    x = torch.randn(7, 5)
    assert torch.allclose(trunk(x), trunk.last(trunk.first(x)))
    with torch.no_grad():
        for block in trunk.blocks:
            block[-1].weight.normal_()
    trunk(x).square().sum().backward()
    assert all(bool(p.grad.abs().sum() > 0) for p in trunk.parameters())
    assert ResidualTrunk(5, hidden=8, blocks=0)(x).shape == (7, 8)
