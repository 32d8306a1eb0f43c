import math

import torch

from genprob_autoregressive.atoms import MOST, Atoms


def test_values_held_by_one_row_in_a_hundred_are_atoms():
    x = torch.cat([torch.full((30,), 0.1), torch.full((4,), 7.0), torch.arange(100, 466)]).double()[:, None]
    known = torch.ones_like(x, dtype=torch.bool)
    atoms = Atoms.of(x, 2 * x, known)
    assert atoms.value.tolist() == [[float(torch.tensor(0.1)), 7.0]]
    assert torch.equal(atoms.place, 2 * atoms.value)
    assert torch.allclose(atoms.log_frequency.exp(), torch.tensor([[0.075, 0.01]], dtype=torch.float64))
    assert math.isclose(float(atoms.log_rest[0].exp()), 0.915)


def test_few_and_unknown_values_are_none_and_the_commonest_are_kept():
    x = torch.cat([torch.arange(60).repeat_interleave(5), torch.zeros(3), torch.full((50,), 99.0)]).double()[:, None]
    known = torch.ones_like(x, dtype=torch.bool)
    known[-50:] = False
    atoms = Atoms.of(x, x, known)
    assert atoms.width == MOST and 0.0 in atoms.value and 99.0 not in atoms.value
    assert Atoms.of(torch.arange(50.0)[:, None].double(), x[:50], known[:50]).width == 0


def test_priors_follow_frequency_and_distance_with_a_limit():
    x = torch.tensor([[0.0]] * 10 + [[3.0]] * 10).double()
    atoms = Atoms.of(x, x, torch.ones(20, 1, dtype=torch.bool))
    one = torch.ones(1, 1, dtype=torch.float64)
    near = atoms.log_prior(0 * one, one, 0.1 * one[0])[0, 0]
    assert math.isclose(float(near[1] - near[2]), 4.5)
    far = atoms.log_prior(1e6 * one, 1e-3 * one, 0.1 * one[0])[0, 0]
    assert math.isclose(float(far[1]), math.log(0.5) - 30 - math.log(0.1) - 0.9)
    assert torch.equal(atoms.log_prior(one, one, 0.1 * one[0])[:, 0], atoms.log_prior(one[0], one[0], 0.1 * one[0], 0))
