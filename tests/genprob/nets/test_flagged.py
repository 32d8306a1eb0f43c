"""The layer is linear in values and in what is missing, with holes and without; so are its gradients."""

import torch

from genprob.nets.flagged import Flagged


def test_it_is_the_linear_layer_that_it_stands_for():
    torch.manual_seed(0)
    layer = Flagged(5, 3, 4).double()
    for flags in (torch.ones(6, 3), (torch.rand(6, 3) < 0.5).float()):
        shown = torch.randn(6, 5)
        x, plain_x = (torch.cat([shown, part], 1).double() for part in (flags, 1 - flags))
        whole = torch.cat([layer.weight, layer.missing], 1).detach().requires_grad_()
        found, plain = layer(x), torch.nn.functional.linear(plain_x, whole, layer.bias)
        assert torch.allclose(found, plain)
        ours = torch.autograd.grad(found.square().sum(), (layer.weight, layer.missing), allow_unused=True)
        theirs = torch.autograd.grad(plain.square().sum(), whole)[0]
        assert torch.allclose(ours[0], theirs[:, :5])
        assert torch.allclose(torch.zeros(4, 3).double() if ours[1] is None else ours[1], theirs[:, 5:])


def test_rows_without_holes_leave_the_rest_alone():
    layer = Flagged(5, 3, 4)
    shown = torch.randn(6, 5)
    found = layer(shown)
    assert torch.allclose(found, layer(torch.cat([shown, torch.ones(6, 3)], 1)), atol=1e-6)
    found.sum().backward()
    assert layer.missing.grad is None and layer.weight.grad is not None
