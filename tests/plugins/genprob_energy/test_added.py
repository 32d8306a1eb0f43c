"""What networks add, by hand and by autograd."""

import pytest
import torch
from torch import nn

from genprob.errors import PluginError
from genprob.nets.mlp import mlp
from genprob_energy.added import Differentiated, Perceptron


@pytest.mark.parametrize("hidden", [(), (8,), (8, 5)])
def test_the_slope_by_hand_is_that_of_autograd(hidden):
    torch.manual_seed(0)
    net, at = mlp(3, hidden, 1), torch.randn(4, 2, 3, requires_grad=True)
    value, slope = Perceptron.of(net).slope(at.detach())
    torch.testing.assert_close(value, net(at)[..., 0])
    torch.testing.assert_close(Perceptron.of(net)(at), value)
    torch.testing.assert_close(slope, torch.autograd.grad(net(at).sum(), at)[0])
    for found, wanted in zip(Differentiated(lambda x: net(x)[..., 0]).slope(at), (value, slope), strict=True):
        torch.testing.assert_close(found, wanted)


def test_other_layers_are_refused():
    with pytest.raises(PluginError, match="linear layers and SiLU, not Tanh"):
        Perceptron.of(nn.Sequential(nn.Linear(2, 1), nn.Tanh()))
