"""Importance sampling: what it calls a failure, on weights that are made to fail."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from genprob import Soft, Within
from genprob.data.schema import Schema, Variable
from genprob.data.support import Positive, Real
from genprob.query.batch import QueryBatch
from genprob.query.diagnostics import effective_sample_size, pareto_k
from genprob.query.strategies.importance import Importance, _failures, _khat


def verdict(log_weight):
    log_weight = np.atleast_2d(log_weight)
    possible = np.isfinite(log_weight).any(1)
    return _failures(log_weight, possible, effective_sample_size(log_weight), pareto_k(log_weight), ["'y'"])[0]


def test_good_weights_pass():
    rng = np.random.default_rng(0)
    assert verdict(np.zeros(1024)) == ""
    assert verdict(0.5 * rng.normal(size=1024)) == ""
    assert verdict(np.where(rng.random(1024) < 0.4, 0.0, -np.inf)) == ""


def test_bad_weights_fail_with_a_reason():
    rng = np.random.default_rng(1)
    assert "of 'y' is above" in verdict(4 * rng.normal(size=1024))
    assert "no proposal of 1024 met the evidence" in verdict(np.full(1024, -np.inf))
    few = np.full(1024, -np.inf)
    few[:30] = 0.0
    assert verdict(few) != ""
    halves = np.zeros(1024)
    halves[::2] = 0.5
    assert "two halves disagree on the log-evidence" in verdict(halves)


class Stub:
    """A joint whose model proposes with given log-weights."""

    def __init__(self, log_weight):
        outer = self

        class Model:
            def inexact(self, queries): ...

            def condition(self, queries): ...

            def propose(self, queries, particles):
                outer.asked = particles
                return outer

        self.log_weight, self.model = torch.as_tensor(log_weight), Model()

    def draw(self, index):
        return index.numpy()[..., None].astype(float)

    def marginals(self, targets):
        return {}


class Queries:
    targets = ()

    def __len__(self):
        return 1


def test_draws_come_in_proportion_to_their_weights():
    weight = np.array([[1.0, 2.0, 0.0, 5.0]])
    with np.errstate(divide="ignore"):
        stub = Stub(np.log(weight / 4))
    torch.manual_seed(0)
    out = Importance().answer(stub, Queries(), 40_000, None)
    share = np.bincount(out.values.ravel().astype(int), minlength=4) / 40_000
    np.testing.assert_allclose(share, weight[0] / 8, atol=0.01)
    assert out.log_evidence[0] == pytest.approx(np.log(2.0)) and stub.asked == 1024
    assert out.ess[0] == pytest.approx(64 / 30)


def test_a_larger_budget_gives_a_smaller_error(joint):
    given = {"p": Soft(3.0, sd=0.2), "c": Within(0, 1)}
    errors = [joint.query(["g"], given, draws=2, budget=b, strategy="importance").attrs["log_evidence_se"]
              for b in (256, 4096, 65_536)]  # fmt: skip
    assert errors[0] > 3 * errors[1] > 9 * errors[2] > 0


def test_the_target_whose_mean_the_weights_cannot_carry_is_named():
    """Weights of shape .3; x is bounded, y = u^-.6 has a tail of its own, so that w y has no variance."""
    schema = Schema((Variable("x", Real()), Variable("y", Positive())))
    u = np.random.default_rng(0).uniform(size=(1, 4000))
    log_weight = -0.3 * np.log(u)

    class Cloud:
        def __init__(self):
            self.log_weight = torch.as_tensor(log_weight)

        def draw(self, index):
            return np.stack([u, u**-0.6], -1)

    queries = QueryBatch.from_evidence(schema, [{}])
    k, worst = _khat(Cloud(), queries, log_weight)
    assert worst == ["'y'"] and k[0] > 0.75
    k, worst = _khat(Cloud(), replace(queries, names=("x",)), log_weight)
    assert k[0] < 0.5
