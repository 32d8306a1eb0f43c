"""The bounds rise to the exact log-likelihood of a linear VAE."""

from itertools import pairwise

import pytest
import torch

from genprob.errors import UsageError
from genprob.joint import Joint
from genprob_variational.convergence import Convergence

from .conftest import NAMES, Exact, linear, whole


def test_bounds_rise_to_the_truth(reals, rows):
    model = linear(reals, rows)
    with torch.no_grad():
        model.decoder[0].weight.normal_(0, 0.6)
    joint = Joint(reals, model.eval(), run=None, reference=whole(reals, rows), rows=600)
    data = {name: rows[:40, i] for i, name in enumerate(NAMES)}
    scores = {s.name: float(s.value) for s in Convergence(particles=10_000, rows=30)(joint, data).scores}
    assert list(scores)[:5] == ["bound_10000", "bound_1000", "bound_100", "bound_10", "bound_1"]
    rising = list(scores.values())[:5]
    assert all(high > low for high, low in pairwise(rising))
    exact = Exact(model).log_prob(rows[:30]).mean()
    assert scores["bound_10000"] == pytest.approx(exact, abs=0.05) and scores["bound_1"] < exact - 0.3
    assert scores["per_cell"] == pytest.approx(scores["bound_10000"] / 5)


def test_models_without_proposals_are_refused():
    class Silent:
        model = object()

    with pytest.raises(UsageError, match="proposes nothing"):
        Convergence()(Silent(), None)
    with pytest.raises(UsageError):
        Convergence(particles=0)
