"""Randomness: its own numbers, and nobody else's."""

import pytest
import torch

from genprob.engine.randomness import Randomness


def test_the_outer_state_stands_after_the_block_and_after_errors():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    rng = Randomness(0)
    with rng.swapped_in():
        torch.randn(10)
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(RuntimeError), rng.swapped_in():
        torch.randn(10)
        raise RuntimeError
    assert torch.equal(torch.get_rng_state(), before)


def test_it_goes_on_where_it_stopped_and_equals_one_stretch():
    def stretches(*lengths):
        rng, out = Randomness(5), []
        for n in lengths:
            torch.manual_seed(n)
            with rng.swapped_in():
                out += torch.rand(n).tolist()
        return out

    assert stretches(4, 4) == stretches(8) != Randomness(6)


def test_a_failed_stretch_keeps_what_was_drawn():
    rng = Randomness(5)
    with pytest.raises(RuntimeError), rng.swapped_in():
        first = torch.rand(1)
        raise RuntimeError
    with rng.swapped_in():
        assert not torch.equal(torch.rand(1), first)


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**32 - 1, 2**40])
def test_seeds_give_the_numbers_of_torch(seed):
    with Randomness(seed).swapped_in():
        mine = torch.rand(3)
    assert torch.equal(mine, torch.rand(3, generator=torch.Generator().manual_seed(seed % 2**32)))
