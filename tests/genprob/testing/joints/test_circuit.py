import numpy as np
import pytest
from scipy import special, stats

from genprob import OneOf, Soft, Within
from genprob.data.schema import Variable
from genprob.data.support import Real
from genprob.errors import UsageError
from genprob.query.batch import QueryBatch
from genprob.testing import references
from genprob.testing.joints.circuit import Circuit, Leaf, Product, Sum
from genprob.testing.joints.leaves import Levels, Normal

JOINT = references()["circuit"]
LEFT = [(0.6, -1.5, (0.7, 0.2, 0.1)), (0.4, 0.5, (0.1, 0.8, 0.1))], (0.0, -1.0, 2.0, 0.9)
RIGHT = [(0.5, 2.0, (0.2, 0.2, 0.6)), (0.5, 0.0, (0.3, 0.4, 0.3))], (1.0, 1.0, 7.0, 0.2)


def flat():
    """The circuit multiplied out: a mixture of eight products, as (weight, x, g, p, n, c, sd of c, P(f = 1))."""
    for weight, (pairs, (p, c, n, f)) in ((0.55, LEFT), (0.45, RIGHT)):
        for w, x, g in pairs:
            yield weight * w * 0.7, x, g, p, n, c, 0.6, f
            yield weight * w * 0.3, x, g, p, n, c + 2, 1.2, 1 - f


def density(row):
    total = 0.0
    for weight, x, g, p, n, c, sd, f in flat():
        cell = stats.norm.cdf(row[2] + 0.25, c, sd) - stats.norm.cdf(row[2] - 0.25, c, sd)
        total += (
            weight * stats.norm.pdf(row[0], x, 0.8) * stats.lognorm.pdf(row[1], 0.5, scale=np.exp(p)) * cell
            * g[int(row[3])] * stats.poisson.pmf(row[4], n) * (f if row[5] else 1 - f)
        )  # fmt: skip
    return total


def test_density_multiplied_out():
    rows = JOINT.sample(40, 1)
    np.testing.assert_allclose(JOINT.log_prob(rows), np.log([density(row) for row in rows]), atol=1e-9)


def test_all_kinds_at_once():
    given = {
        "x": Within(-0.5, 1.0), "p": Soft(1.5, sd=0.4), "c": OneOf(-1.0, 0.5, 3.0), "g": OneOf("a", "c"),
        "n": Soft(4.0, sd=1.5), "f": Soft({"0": 0.3, "1": 1.0}),
    }  # fmt: skip
    counts = np.arange(80)
    total = 0.0
    for weight, x, g, p, n, c, sd, f in flat():
        y = np.linspace(p - 6, p + 6, 20_001)
        read = (stats.norm.pdf(y, p, 0.5) * stats.norm.pdf(1.5, np.exp(y), 0.4)).sum() * (y[1] - y[0])
        cells = sum(np.diff(stats.norm.cdf([v - 0.25, v + 0.25], c, sd))[0] for v in (-1.0, 0.5, 3.0))
        total += (
            weight * np.diff(stats.norm.cdf([-0.5, 1.0], x, 0.8))[0] * read * cells * (g[0] + g[2])
            * (stats.poisson.pmf(counts, n) @ stats.norm.pdf(4.0, counts, 1.5)) * (0.3 * (1 - f) + f)
        )  # fmt: skip
    query = QueryBatch.from_evidence(JOINT.schema, [given], targets=None)
    assert JOINT.log_evidence(query)[0] == pytest.approx(np.log(total), abs=1e-8)


def test_tails_keep_their_digits():
    rows = [{"x": Within(30.0, None)}, {"n": Within(60, None)}, {"n": 80}, {"c": 25.0}, {"p": Within(None, 1e-4)}]
    found = JOINT.log_evidence(QueryBatch.from_evidence(JOINT.schema, rows))
    parts = list(flat())
    log_w = np.log([part[0] for part in parts])

    def total(terms):
        return special.logsumexp(log_w + np.array(terms))

    assert found[0] == pytest.approx(total([stats.norm.logsf(30, p[1], 0.8) for p in parts]), rel=1e-9)
    assert found[1] == pytest.approx(total([stats.poisson.logsf(59, p[4]) for p in parts]), rel=1e-9)
    assert found[2] == pytest.approx(total([stats.poisson.logpmf(80, p[4]) for p in parts]), rel=1e-9)
    cells = [np.log(stats.norm.sf(24.75, p[5], p[6]) - stats.norm.sf(25.25, p[5], p[6]) + 1e-300) for p in parts]
    assert found[3] == pytest.approx(total(cells), rel=1e-9)
    assert found[4] == pytest.approx(total([stats.norm.logcdf(np.log(1e-4), p[3], 0.5) for p in parts]), rel=1e-9)


def test_a_circuit_has_to_be_one():
    x, y = (Variable(name, Real()) for name in "xy")
    one, other = Leaf("x", Normal(0.0, 1.0)), Leaf("y", Normal(0.0, 1.0))
    with pytest.raises(UsageError, match="share"):
        Circuit([x], Product((one, one)))
    with pytest.raises(UsageError, match="different variables"):
        Circuit([x, y], Sum((0.5, 0.5), (one, other)))
    with pytest.raises(UsageError, match="schema"):
        Circuit([x, y], one)


def test_a_level_without_probability():
    joint = Circuit([references()["circuit"].schema["f"]], Leaf("f", Levels((1.0, 0.0))))
    query = QueryBatch.from_evidence(joint.schema, [{"f": 1}])
    assert joint.log_evidence(query)[0] == -np.inf
    assert np.isnan(joint.conditional(query, 3)).all()
