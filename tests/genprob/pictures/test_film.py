"""A film is the chain: each state is the transition of the one before, and what is given stands still."""

import numpy as np
import pytest
import torch

from genprob import Within
from genprob.errors import UsageError
from genprob.pictures import film, plot_film


@pytest.mark.parametrize("model", ["gsn", "dae", "plain"])
def test_what_is_given_stands_still_and_the_rest_moves(joints, model):
    joint = joints[model]
    if model == "gsn":
        states = film(joint, chains=2, states=5)["image"].values
    else:
        found = film(joint, {"y": 0.4}, chains=2, states=5, seed=2)
        assert np.allclose(found["y"], 0.4)
        inside = film(joint, {"y": Within(-0.5, 0.5)}, chains=2, states=5)["y"].values
        assert ((inside >= -0.5) & (inside <= 0.5)).all()
        states = found["x"].values
    assert states.shape[:2] == (2, 5)
    assert (np.abs(np.diff(states, axis=1)).reshape(2, -1).sum(1) > 0).all()


def test_states_are_transitions_of_the_model(joints, monkeypatch):
    """A chain that adds one to every cell makes a film that counts."""
    model = joints["gsn"].model
    monkeypatch.setattr(model, "transition", lambda values, queries: values + 1)
    monkeypatch.setattr(torch, "randint", lambda high, size, **about: torch.zeros(size, dtype=torch.long))
    model.starts[0].zero_()
    found = film(joints["gsn"], chains=1, states=4, stride=3)
    # A query's chain begins one transition from its row.
    assert found["image"].values[0, :, 0, 0].tolist() == [1, 4, 7, 10] and found["step"].values.tolist() == [0, 3, 6, 9]


def test_both_are_drawn(joints, tmp_path):
    assert plot_film(film(joints["gsn"], states=4), tmp_path / "a.png").stat().st_size > 1000
    assert plot_film(film(joints["dae"], states=4), tmp_path / "b.png").stat().st_size > 1000


def test_what_has_no_chain_says_what_has(joints):
    with pytest.raises(UsageError, match=r"Score has no film: it has no Markov chain of its own; dae, gsn"):
        film(joints["score"])
    with pytest.raises(UsageError, match="nothing to move"):
        film(joints["dae"], {"x": 0.1, "y": 0.2})
