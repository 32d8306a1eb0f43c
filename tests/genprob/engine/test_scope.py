"""The scope in which models run."""

import pyro
import pytest
import torch

from genprob.engine.randomness import Randomness
from genprob.engine.scope import running


def test_settings_and_random_numbers_are_there_and_gone():
    settings, state = dict(pyro.settings.get()), torch.get_rng_state()
    with pytest.raises(RuntimeError), running(Randomness(0)):
        assert pyro.settings.get("module_local_params")
        torch.rand(3)
        raise RuntimeError
    assert dict(pyro.settings.get()) == settings and torch.equal(torch.get_rng_state(), state)
