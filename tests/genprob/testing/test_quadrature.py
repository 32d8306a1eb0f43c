"""The reference joint against nothing but its own draws."""

import numpy as np
import pytest
from scipy import stats

from genprob import OneOf, Soft, Within
from genprob.data.measure import Cell
from genprob.data.schema import Schema, Variable
from genprob.data.support import Categorical, Count, Interval, Positive, Real
from genprob.testing.quadrature import QuadratureMixture

SCHEMA = Schema(
    (
        Variable("x", Real()),
        Variable("p", Positive()),
        Variable("u", Interval(0, 2)),
        Variable("c", Real(), Cell(0.5)),
        Variable("g", Categorical(("a", "b", "c"))),
        Variable("n", Count()),
    )
)


@pytest.fixture(scope="module")
def reference():
    rng = np.random.default_rng(2)
    a = rng.normal(size=(2, 4, 4))
    return QuadratureMixture(
        SCHEMA, np.array([0.4, 0.6]), 0.6 * rng.normal(size=(2, 4)), 0.2 * a @ a.transpose(0, 2, 1) + 0.1 * np.eye(4),
        {"g": rng.dirichlet(np.ones(3), 2)}, {"n": (np.array([2.0, 6.0]), np.array([4.0, 30.0]))},
    )  # fmt: skip


@pytest.fixture(scope="module")
def rows(reference):
    return reference.sample(400_000, np.random.default_rng(0))


def weigh(rows, given):
    """Likelihood of each row under sets and readings."""
    out = np.ones(len(rows))
    for name, evidence in given.items():
        x = rows[:, SCHEMA.slices[name].start]
        match evidence:
            case Within(lo, hi):
                out *= (x >= (-np.inf if lo is None else lo)) & (x <= (np.inf if hi is None else hi))
            case OneOf(values):
                out *= np.isin(x, [("a", "b", "c").index(v) if v in ("a", "b", "c") else v for v in values])
            case Soft(dict() as table):
                out *= np.array([table.get(v, 0.0) for v in "abc"])[x.astype(int)]
            case Soft(value, sd):
                out *= stats.norm.pdf(value, x, sd)
            case _:
                out *= x == evidence
    return out


GIVEN = [
    {},
    {"x": Within(-0.5, 1)},
    {"c": 0.5, "n": 3},
    {"p": Soft(1.0, sd=0.4)},
    {"u": Within(None, 0.7), "g": OneOf("a", "c")},
    {"g": Soft({"a": 2.0, "b": 0.5})},
    {"c": OneOf(0, 1), "n": Within(4, None)},
    {"c": Soft(0.3, sd=0.6)},
]


@pytest.mark.parametrize("given", GIVEN, ids=str)
def test_answers_are_those_of_weighted_draws(reference, rows, given):
    weight = weigh(rows, given)
    ess = weight.sum() ** 2 / (weight**2).sum()
    for name in [v.name for v in SCHEMA if v.name not in given][:3] + [n for n in ("g", "n") if n not in given]:
        truth, x = reference.answer(name, given), rows[:, SCHEMA.slices[name].start]
        error = weight.std() / np.sqrt(len(rows)) / weight.mean()
        assert abs(truth.log_evidence - np.log(weight.mean())) < 4.5 * error + 1e-9
        if name == "g":
            share = np.bincount(x.astype(int), weight, 3) / weight.sum()
            np.testing.assert_allclose(truth.pmf, share, atol=3 / np.sqrt(ess))
            continue
        assert abs(weight @ x / weight.sum() - truth.mean) < 4.5 * truth.sd / np.sqrt(ess)
        at = np.quantile(x, [0.1, 0.5, 0.8])
        np.testing.assert_allclose(truth.cdf(at), [weight @ (x <= v) / weight.sum() for v in at], atol=3 / np.sqrt(ess))
    assert ess > 5000


def test_points_are_densities(reference):
    for name, v, h in (("x", 0.2, 1e-3), ("p", 0.8, 1e-3), ("u", 1.1, 1e-3)):
        inside = reference.answer(None, {name: Within(v - h, v + h), "g": "b"}).log_evidence
        point = reference.answer(None, {name: v, "g": "b"}).log_evidence
        assert point == pytest.approx(inside - np.log(2 * h), abs=1e-5)
