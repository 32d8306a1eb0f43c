"""Bins: laws within levels integrate to one, evidence on a level is what quadrature says, draws follow it."""

import numpy as np
import pytest
import torch
from scipy import integrate

from genprob.data.measure import Cell
from genprob.data.schema import Schema, Variable
from genprob.data.support import Binary, Categorical, Count, Interval, Positive, Real
from genprob.query.batch import QueryBatch
from genprob.query.evidence import OneOf, Soft, Within
from genprob_autoregressive.bins import Bins

SCHEMA = Schema(
    (
        Variable("real", Real()),
        Variable("positive", Positive()),
        Variable("share", Interval(0.0, 2.0)),
        Variable("count", Count()),
        Variable("price", Positive(), Cell(0.25)),
        Variable("grade", Categorical(("a", "b", "c"))),
        Variable("flag", Binary()),
    )
)


def rows(n=400):
    rng = np.random.default_rng(0)
    return np.stack(
        [
            rng.normal(5, 2, n),
            np.exp(rng.normal(size=n)),
            rng.uniform(0.1, 1.9, n),
            rng.poisson(3, n),
            np.ceil(np.exp(rng.normal(size=n)) / 0.25) * 0.25,
            rng.integers(0, 3, n),
            rng.integers(0, 2, n),
        ],
        1,
    ).astype(float)


@pytest.fixture(scope="module")
def bins():
    x = rows()
    return Bins.of(SCHEMA, x, np.ones(x.shape, dtype=bool), 6)


def of_column(bins, name, x):
    """log p(value | its level) and the level, of values of one column."""
    j = SCHEMA.names.index(name)
    table = np.tile(rows(1), (len(x), 1))
    table[:, j] = x
    table = torch.as_tensor(table)
    return bins.log_within(table)[:, j].numpy(), bins.encode(table)[:, j].numpy()


@pytest.mark.parametrize("name", ["real", "positive", "share"])
def test_densities_integrate_to_one_within_every_level(bins, name):
    j = SCHEMA.names.index(name)
    edges = bins.edges[j].numpy()
    for level in range(bins.sizes[j]):
        lo, hi = np.clip(edges[level], -200, None), np.clip(edges[level + 1], None, 400)
        total, _ = integrate.quad(
            lambda x: float(np.exp(of_column(bins, name, [x])[0][0])) * (of_column(bins, name, [x])[1][0] == level),  # noqa: B023
            lo, hi, limit=200, points=[edges[1] - 5, edges[-2] + 5] if level in (0, bins.sizes[j] - 1) else None,
        )  # fmt: skip
        assert total == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(("name", "values"), [("count", np.arange(400.0)), ("price", np.arange(1, 4000) * 0.25)])
def test_masses_add_up_to_one_within_every_level(bins, name, values):
    log_p, level = of_column(bins, name, values)
    for each in range(bins.sizes[SCHEMA.names.index(name)]):
        assert np.exp(log_p[level == each]).sum() == pytest.approx(1, abs=1e-9)


EVIDENCE = [
    ("real", Within(4.0, 6.5)), ("real", Within(None, 1.0)), ("real", Within(9.0, None)), ("real", Soft(7.0, sd=2.5)),
    ("real", Soft(12.0, sd=1.0)), ("real", Soft(-3.0, sd=1.0)), ("positive", Within(0.2, 3.0)),
    ("positive", Soft(0.5, sd=1.0)), ("share", Soft(1.0, sd=0.2)), ("count", Within(1.5, 6)),
    ("count", OneOf(0, 3, 4)), ("count", Soft(4.0, sd=1.5)), ("count", Soft(10.0, sd=80.0)),
    ("price", Within(0.3, 1.6)), ("price", OneOf(0.5, 1.25)), ("price", Soft(1.0, sd=0.3)), ("price", Within(2, None)),
]  # fmt: skip


def likelihood(evidence, x):
    """p(evidence | value), for values of the support."""
    if isinstance(evidence, Soft):
        z = (evidence.value - x) / evidence.sd
        return np.exp(-0.5 * z**2) / (evidence.sd * np.sqrt(2 * np.pi))
    if isinstance(evidence, OneOf):
        return np.isin(x, evidence.values).astype(float)
    lo, hi = evidence.lo, evidence.hi
    return ((x >= (-np.inf if lo is None else lo)) & (x <= (np.inf if hi is None else hi))).astype(float)


def support_points(bins, name):
    """Points of a column, fine enough to integrate over, and the weight of each."""
    if name == "count":
        return np.arange(600.0), np.ones(600)
    if name == "price":
        return np.arange(1, 4000) * 0.25, np.ones(3999)
    lo, hi = {"real": (-80.0, 120.0), "positive": (0.0, 80.0), "share": (0.0, 2.0)}[name]
    at = np.linspace(lo, hi, 400_001)
    return (at[1:] + at[:-1]) / 2, np.full(400_000, at[1] - at[0])


@pytest.mark.parametrize(("name", "evidence"), EVIDENCE)
def test_evidence_is_integrated_over_every_level_and_draws_follow_it(bins, name, evidence):
    j = SCHEMA.names.index(name)
    x, weight = support_points(bins, name)
    log_p, level = of_column(bins, name, x)
    mass = np.exp(log_p) * weight * likelihood(evidence, x)
    exact = np.array([mass[level == each].sum() for each in range(bins.sizes[j])])
    batch = QueryBatch.from_evidence(SCHEMA, [{name: evidence}])
    told = bins.log_likelihood(batch)[0, bins.starts[j] : bins.starts[j + 1]].exp().numpy()
    assert told == pytest.approx(exact, abs=1e-3 * max(1.0, exact.max()))
    torch.manual_seed(0)
    for each in np.flatnonzero(exact > 1e-3 * exact.max()):
        levels = torch.zeros(1, 4000, SCHEMA.width, dtype=torch.long)
        levels[..., j] = int(each)
        drawn = bins.draw(levels, batch)[0, :, j]
        assert SCHEMA[name].support.contains(drawn).all()
        assert (of_column(bins, name, drawn)[1] == each).mean() > 0.999
        own = mass * (level == each) / exact[each]
        mean, sd = (own * x).sum(), np.sqrt((own * x**2).sum() - (own * x).sum() ** 2)
        assert abs(drawn.mean() - mean) < 5 * (sd + 1e-9) / np.sqrt(4000) + 1e-6 * abs(mean) + 1e-3 * sd
        if not isinstance(evidence, Soft):
            assert (likelihood(evidence, drawn) > 0).all()


def test_points_and_labels_are_met_exactly(bins):
    x = rows(50)
    batch = QueryBatch.from_values(SCHEMA, x)
    told = bins.log_likelihood(batch)
    levels = bins.encode(torch.as_tensor(x))
    for j in range(SCHEMA.width):
        part = told[:, bins.starts[j] : bins.starts[j + 1]]
        assert (torch.isfinite(part).sum(1) == 1).all() and (part.argmax(1) == levels[:, j]).all()
    assert torch.allclose(told.gather(1, bins.first + levels), bins.log_within(torch.as_tensor(x)), atol=1e-9)
    assert np.array_equal(bins.draw(levels[:, None], batch)[:, 0], x)


def test_values_that_many_rows_share_have_a_bin_of_their_own():
    schema = Schema((Variable("n", Count()),))
    x = np.concatenate([np.zeros(500), np.arange(500.0)])[:, None]
    bins = Bins.of(schema, x, np.ones(x.shape, dtype=bool), 8)
    assert bins.log_within(torch.zeros(1, 1, dtype=torch.float64)).item() == pytest.approx(0.0)
    assert bins.sizes[0] <= 12


@pytest.mark.parametrize("support", [Real(), Positive(), Interval(0.0, 9.0), Count()])
@pytest.mark.parametrize("column", [[3.0] * 5, [np.nan] * 5, [3.0, 3.0, 4.0, 3.0, 3.0]])
def test_constant_and_empty_columns_have_bins(support, column):
    schema = Schema((Variable("x", support),))
    x = np.array(column)[:, None]
    bins = Bins.of(schema, np.nan_to_num(x, nan=1.0), ~np.isnan(x), 8)
    assert bins.sizes[0] >= 1
    assert torch.isfinite(bins.log_within(torch.tensor([[3.0], [7.0]], dtype=torch.float64))).all()


def test_bins_are_saved_as_json_and_built_again(bins):
    again = Bins.built(SCHEMA, bins.structure())
    x = torch.as_tensor(rows(30))
    assert again.sizes == bins.sizes and torch.equal(again.log_within(x), bins.log_within(x))
