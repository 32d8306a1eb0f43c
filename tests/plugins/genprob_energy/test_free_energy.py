"""The free energy's written-out slope against autograd of the machine, and the phases' signs."""

import pytest
import torch

from genprob_energy.free_energy import FreeEnergy
from genprob_energy.machine import Machine
from genprob_energy.rbm import RBM


def model_of(levels, hidden=3):
    from genprob.data.schema import Schema, Variable
    from genprob.data.support import Binary, Categorical

    names = "abcde"
    supports = [Binary() if size == 2 else Categorical(tuple(names[:size])) for size in levels]
    model = RBM(Schema(tuple(Variable(f"v{i}", support) for i, support in enumerate(supports))), hidden=hidden)
    with torch.no_grad():
        for tensor in (model.weight, model.visible, model.hidden):
            tensor.copy_(0.7 * torch.randn(tensor.shape))
        model.offset.uniform_(0.1, 0.9)
        model.centre.uniform_(0.1, 0.9)
    points = torch.stack([torch.randint(size, (7,)) for size in levels], 1).float()
    return model.double(), points.double()


@pytest.mark.parametrize("levels", [(2, 2, 2, 2), (2, 3, 4, 2)], ids=["binaries", "categories"])
@pytest.mark.parametrize("balanced", [True, False], ids=["phases", "any weights"])
def test_the_slope_is_that_of_autograd(levels, balanced):
    torch.manual_seed(0)
    model, points = model_of(levels)
    share = torch.tensor([0.25] * 4 + [-1 / 3] * 3, dtype=torch.float64) if balanced else torch.randn(7).double()
    parameters = [model.weight, model.visible, model.hidden]
    plain = model.machine().free_energy(points)
    written = model.energy(points)
    torch.testing.assert_close(written, plain, atol=1e-12, rtol=1e-12)
    wanted = torch.autograd.grad(share @ plain, parameters)
    for found, exact in zip(torch.autograd.grad(share @ written, parameters), wanted, strict=True):
        torch.testing.assert_close(found, exact, atol=1e-12, rtol=1e-12)
    assert torch.autograd.gradcheck(
        lambda w, a, b: FreeEnergy.apply(model.units.features(points) - model.offset, None, w, a, b, model.centre),
        tuple(p.detach().requires_grad_() for p in parameters),
    )


def test_centred_slopes_are_plain_ones_of_moved_biases():
    """Centring's own gradient (Montavon and Mueller 2012): deviations of both layers, multiplied and averaged."""
    torch.manual_seed(1)
    model, points = model_of((2, 2, 2))
    share = torch.tensor([0.25] * 4 + [-1 / 3] * 3, dtype=torch.float64)
    (found,) = torch.autograd.grad(share @ model.energy(points), [model.weight])
    active = torch.sigmoid(model.machine().up(points)).detach()
    wanted = -torch.einsum("n,ni,nj->ij", share, points - model.offset, active - model.centre)
    torch.testing.assert_close(found, wanted, atol=1e-12, rtol=1e-12)


def test_reals_keep_the_machine():
    from genprob.data.schema import Schema, Variable
    from genprob.data.support import Binary, Real

    model = RBM(Schema((Variable("x", Real()), Variable("b", Binary()))), hidden=2)
    assert isinstance(model.machine(), Machine)
    assert "FreeEnergy" not in type(model.energy(torch.zeros(3, 2, dtype=torch.float64)).grad_fn).__name__
