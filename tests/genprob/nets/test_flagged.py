"""The layer is linear, with holes and without; so are its gradients."""

import torch

from genprob.nets.flagged import Flagged


def test_it_is_the_linear_layer_that_it_stands_for():
    torch.manual_seed(0)
    layer = Flagged(5, 3, 4).double()
    for flags in (torch.ones(6, 3), (torch.rand(6, 3) < 0.5).float()):
        x = torch.cat([torch.randn(6, 5), flags], 1).double()
        whole = torch.cat([layer.weight, layer.known], 1).detach().requires_grad_()
        found, plain = layer(x), torch.nn.functional.linear(x, whole, layer.bias)
        assert torch.allclose(found, plain)
        ours = torch.autograd.grad(found.square().sum(), (layer.weight, layer.known))
        theirs = torch.autograd.grad(plain.square().sum(), whole)[0]
        assert torch.allclose(torch.cat(ours, 1), theirs)
