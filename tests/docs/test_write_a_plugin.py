"""The how-to's models are what it says of them."""

import itertools
import re
from pathlib import Path

import numpy as np
import torch

import genprob

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-plugin.md"
TABLE = {"a": ["x", "y", "y", "x", "y", "y"] * 10, "b": ["u", "v", "v", "u", "v", "w"] * 10}


def shown(name):
    block = next(b for b in re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.S) if f"class {name}(" in b)
    scope = {"__name__": "shown"}
    exec(block.split("\n\n\njoint = ")[0], scope)
    return scope[name]


def test_the_model_of_two_programs_is_asked_by_importance_sampling():
    joint = genprob.fit(TABLE, shown("FactorAnalysis"), latent=1, steps=5)
    assert joint.query(["a"], {"b": "u"}, draws=20, seed=0).attrs["strategy"] == "importance"


def test_the_density_is_normalised_and_what_is_drawn_scored_and_asked():
    joint = genprob.fit(TABLE, shown("Classes"), classes=2, steps=30)
    states = np.array(list(itertools.product(range(2), range(3))), dtype=float)
    with torch.no_grad():
        mass = joint.model.log_joint(torch.as_tensor(states)).exp().double().numpy()
    assert abs(mass.sum() - 1) < 1e-5
    levels = ("x", "y"), ("u", "v", "w")  # codes follow sorted labels
    scored = joint.log_prob({"a": [levels[0][int(a)] for a, _ in states], "b": [levels[1][int(b)] for _, b in states]})
    np.testing.assert_allclose(scored["log_prob"], np.log(mass), atol=1e-5)
    drawn = joint.sample(4000, seed=0)
    counted = [((drawn["a"] == levels[0][int(a)]) & (drawn["b"] == levels[1][int(b)])).mean() for a, b in states]
    np.testing.assert_allclose(counted, mass, atol=0.04)
    answer = joint.query(["a"], {"b": "v"}, draws=2000, seed=0)
    told = mass.reshape(2, 3)[:, 1]
    np.testing.assert_allclose((answer["posterior"]["a"] == levels[0][1]).mean(), told[1] / told.sum(), atol=0.04)
