"""A mixed law, reals and labels apart, against the whole of it by autograd and by asking for every level."""

import pytest
import torch

from genprob.data.schema import Schema, Variable
from genprob.data.support import Binary, Categorical, Real
from genprob_energy.mixed import MixedEnergy
from genprob_energy.mixed_law import AnyLaw

SCHEMA = Schema(
    (
        Variable("k", Categorical(("a", "b", "c"))),
        Variable("x", Real()),
        Variable("b", Binary()),
        Variable("y", Real()),
        Variable("l", Categorical(("u", "v"))),
    )
)


@pytest.fixture(params=[(), (6,), (6, 5)], ids=str)
def laws(request):
    torch.manual_seed(0)
    model = MixedEnergy(SCHEMA, hidden=request.param)
    with torch.no_grad():
        model.units.heads.offset.copy_(torch.randn(len(model.units.heads.offset)))
        for parameter in model.net.parameters():  # couplings that show
            parameter.mul_(3)
    law = model.law_of_points.at(0.7)
    return law, AnyLaw(law, model.units), model


def points(rows):
    return torch.stack([torch.randint(3, (rows,)), torch.randn(rows), torch.randint(2, (rows,)), torch.randn(rows),
                        torch.randint(2, (rows,))], -1).float()  # fmt: skip


def test_reals_given_labels_have_the_whole_laws_density_and_slope(laws):
    law, whole, model = laws
    at, z = points(12).reshape(3, 4, 5), torch.randn(3, 4, 2)
    with torch.no_grad():
        value, slope = law.given_labels(at)(z)
    wanted, gradient = whole.given_labels(at)(z)
    torch.testing.assert_close(value, wanted.detach())
    torch.testing.assert_close(slope, gradient)
    moved = at.clone()
    moved[..., model.units.reals] = z
    torch.testing.assert_close(value, law(moved).detach())


@torch.no_grad()
def test_labels_are_drawn_from_their_law_given_all_else(laws):
    """Each of both ways against shares by a list; all labels in turn, the later ones given the earlier."""
    law, whole, _ = laws
    one = points(1)
    told = torch.tensor([0.3, -0.2, -torch.inf])
    for asked, start in (([0], one[0, 4]), ([4, 0, 2], 0.0), ([4, 0, 2], 1.0), ([2, 4, 0], 0.0)):
        one[0, 4] = start
        counts = {}
        for name, way in (("apart", law), ("whole", whole)):
            many = one.expand(20000, -1).clone()
            drawn = way.redrawn(many, asked, {0: told.expand(20000, -1)})
            assert bool((drawn[:, [1, 3]] == one[:, [1, 3]]).all()) and float(drawn[:, 0].max()) < 2
            counts[name] = (
                torch.bincount((drawn[:, 0] * 4 + drawn[:, 2] * 2 + drawn[:, 4]).long(), minlength=12) / 20000
            )
        torch.testing.assert_close(counts["apart"], counts["whole"], atol=0.02, rtol=0)
        if asked == [0]:
            tried = one.expand(3, -1).clone()
            tried[:, 0] = torch.arange(3)
            share = torch.softmax(law(tried) + told, 0)
            at = (torch.arange(3) * 4 + one[0, 2] * 2 + one[0, 4]).long()
            torch.testing.assert_close(counts["apart"][at], share, atol=0.02, rtol=0)
