"""Heads: every likelihood adds up to one, agrees with its own draws, and is not disturbed by holes."""

import numpy as np
import pytest
import torch
from scipy import integrate

from genprob.data.batch import Batch
from genprob.data.measure import Cell
from genprob.data.schema import Schema, Variable
from genprob.data.support import Binary, Categorical, Count, Interval, Positive, Real
from genprob.errors import PluginError, UsageError
from genprob.nets.heads import Heads
from genprob.nets.laws import Normal

SCHEMA = Schema(
    (
        Variable("x", Real()),
        Variable("p", Positive()),
        Variable("u", Interval(0, 10)),
        Variable("c", Real(), Cell(0.5)),
        Variable("q", Positive(), Cell(1.0)),
        Variable("b", Binary()),
        Variable("g", Categorical(("a", "b", "c"))),
        Variable("n", Count()),
        Variable("v", Real(), dims=("t",), shape=(3,)),
    )
)


def values(n=300, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    columns = [
        3 + 2 * x, np.exp(x), 10 / (1 + np.exp(-x)), np.round(2 * x) / 2, np.ceil(np.exp(1 + x)), rng.random(n) < 0.3,
        rng.choice(3, n, p=[0.2, 0.5, 0.3]), rng.poisson(4, n), *(rng.normal(size=(3, n)) * 5),
    ]  # fmt: skip
    return torch.as_tensor(np.stack(columns, 1).astype(float))


def batch(x, observed=None):
    seen = torch.ones_like(x, dtype=torch.bool) if observed is None else observed
    return Batch(SCHEMA, x, seen, torch.arange(len(x)), len(x))


OPTIONS = {
    "as they are": {},
    "one scale": {"scale": "shared"},
    "a scale per row": {"scale": "row", "counts": "poisson"},
    "logistic": {"reals": "logistic", "components": 3},
    "tilted": {"reals": "continuous_bernoulli"},
}


@pytest.fixture(scope="module", params=OPTIONS.values(), ids=OPTIONS)
def heads(request):
    out = Heads(SCHEMA, **request.param)
    out.fit(batch(values()))
    with torch.no_grad():
        out.log_scale.copy_(torch.linspace(-1, 0.2, len(out.log_scale)))
    return out


@pytest.fixture(scope="module")
def laws(heads):
    with torch.no_grad():
        return heads.laws(torch.linspace(-0.7, 0.9, heads.width, dtype=torch.float64)[None])


def test_all_at_once_is_the_sum_of_each(heads):
    torch.manual_seed(1)
    x = values(60)
    observed = torch.rand(x.shape) < 0.7
    data = batch(torch.where(observed, x, values(60, seed=3)), observed)
    parameters = torch.randn(60, heads.width, dtype=torch.float64) / 2
    with torch.no_grad():
        each = [
            law.mask(data.mask(name)).to_event(len(SCHEMA[name].shape)).log_prob(data[name])
            for name, law in heads.laws(parameters).items()
        ]
        assert torch.allclose(heads.log_likelihood(parameters, data), torch.stack(each).sum(0), atol=1e-6)


def test_where_a_variable_stands_is_told(heads):
    """Planes of parameters and features: moving those of one variable moves its law and no other."""
    base = torch.zeros(1, heads.width, dtype=torch.float64)
    x = values(1)
    with torch.no_grad():
        before = {name: law.log_prob(batch(x)[name]) for name, law in heads.laws(base).items()}
        for variable in SCHEMA:
            moved = base.clone()
            moved[:, heads.taken(variable.name)] += torch.linspace(0.5, 1.5, len(heads.taken(variable.name))).double()
            after = {name: law.log_prob(batch(x)[name]) for name, law in heads.laws(moved).items()}
            changed = {name for name in after if not torch.equal(after[name], before[name])}
            assert changed == {variable.name}
    places = [c for v in SCHEMA for c in (*heads.shown(v.name), *heads.flags(v.name))]
    assert sorted(places) == list(range(heads.feature_width))
    assert sorted(c for v in SCHEMA for c in heads.taken(v.name)) == list(range(heads.width))


def test_a_continuous_bernoulli_needs_an_interval():
    with pytest.raises(UsageError, match="interval"):
        Heads(Schema((Variable("x", Real()),)), reals="continuous_bernoulli")


@pytest.mark.parametrize(("name", "lo", "hi"), [("x", -40, 40), ("p", 1e-9, 400), ("u", 1e-9, 10 - 1e-9)])
def test_densities_integrate_to_one_in_data_units(laws, name, lo, hi):
    def density(x):
        return float(laws[name].log_prob(torch.tensor([x], dtype=torch.float64)).exp())

    assert integrate.quad(density, lo, hi, limit=400, points=[1.0, 3.0])[0] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "grid"),
    [("c", np.arange(-20, 20, 0.5)), ("q", np.arange(0, 3000.0)), ("b", [0, 1]), ("g", [0, 1, 2]), ("n", range(300))],
)
def test_probabilities_add_up_to_one(laws, name, grid):
    x = torch.as_tensor(np.asarray(grid, dtype=float))[:, None]
    total = laws[name].log_prob(x).exp().sum()
    assert float(total) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", [v.name for v in SCHEMA])
def test_draws_agree_with_log_probabilities(laws, name):
    """The share of draws between their quartiles is the integral (or sum) of the law over that range."""
    torch.manual_seed(0)
    law = laws[name]
    with torch.no_grad():
        x = law.sample((20_000,)).reshape(20_000, *law.batch_shape)
        assert torch.isfinite(law.log_prob(x)).all()
    flat = x.reshape(20_000, -1)[:, 0].numpy()
    lo, hi = np.quantile(flat, [0.25, 0.75])
    cell = SCHEMA[name].cell
    inside = ((flat >= lo) & (flat <= hi)).mean()
    if SCHEMA[name].discrete or cell is not None:
        grid = np.arange(lo, hi + 1e-9, cell.delta if cell else 1.0)
        at = torch.as_tensor(grid)[:, None].expand(-1, x[0].numel()).reshape(-1, *law.batch_shape)
        mass = float(law.log_prob(at).reshape(len(grid), -1)[:, 0].exp().sum())
    else:
        grid = np.linspace(lo, hi, 2001)
        at = torch.as_tensor(grid)[:, None].expand(-1, x[0].numel()).reshape(-1, *law.batch_shape)
        mass = np.trapezoid(law.log_prob(at).reshape(len(grid), -1)[:, 0].exp().numpy(), grid)
    assert float(mass) == pytest.approx(inside, abs=4 * np.sqrt(0.25 / 20_000))


def test_zeros_stand_for_the_marginals(heads):
    torch.manual_seed(0)
    with torch.no_grad():
        laws = heads.laws(torch.zeros(20_000, heads.width, dtype=torch.float64))
    data = values()
    assert float(laws["b"].sample().mean()) == pytest.approx(float(data[:, 5].mean()), abs=0.02)
    assert float(laws["n"].sample().mean()) == pytest.approx(float(data[:, 7].mean()), abs=0.1)
    shares = torch.bincount(laws["g"].sample().long()) / 20_000
    assert torch.allclose(shares, torch.bincount(data[:, 6].long()) / 300.0, atol=0.02)
    assert float(laws["x"].sample().mean()) == pytest.approx(float(data[:, 0].mean()), abs=0.05)


def test_features_are_finite_flagged_and_zero_at_holes(heads):
    x = values(50)
    x[0, 4] = 0.0  # a cell at the end of its support
    observed = torch.rand(50, SCHEMA.width) < 0.7
    shown = heads.features(batch(x, observed))
    other = heads.features(batch(torch.where(observed, x, values(50, seed=9)), observed))
    assert shown.shape == (50, heads.feature_width) and torch.isfinite(shown).all() and torch.equal(shown, other)
    assert torch.equal(shown[:, -SCHEMA.width :].bool(), observed)
    known = heads.features(batch(values()))[:, :5]
    assert torch.allclose(known.mean(0), torch.zeros(5), atol=0.2) and torch.allclose(known.std(0), torch.ones(5), 0.2)


def test_gradients_are_finite_at_extremes(heads):
    x = values(4)
    x[0] = torch.tensor([1e6, 1e-12, 1e-9, -500.0, 0.0, 1, 2, 5000, 1e8, -1e8, 0])
    parameters = torch.randn(4, heads.width, requires_grad=True)
    data = batch(x)
    total = sum(law.log_prob(data[name].double()).sum() for name, law in heads.laws(parameters).items())
    assert torch.isfinite(total)
    heads.zero_grad()
    total.backward()
    assert torch.isfinite(parameters.grad).all()
    assert all(torch.isfinite(p.grad).all() for p in heads.parameters() if p.numel())
    heads.zero_grad(set_to_none=True)


def test_a_large_offset_costs_no_digits():
    schema = Schema((Variable("t", Real()),))
    x = 1.7e9 + torch.randn(100, 1, dtype=torch.float64)
    heads = Heads(schema)
    heads.fit(Batch(schema, x, torch.ones(100, 1, dtype=torch.bool), torch.arange(100), 100))
    law = heads.laws(torch.zeros(100, 1))["t"]
    law.law = Normal(law.law.loc.detach(), law.law.scale.detach())
    near = torch.distributions.Normal(x.mean(), x.std(unbiased=False) * (1 + 1e-3)).log_prob(x)[:, 0]
    assert torch.allclose(law.log_prob(x[:, 0]).double(), near, atol=1e-4)


def test_a_decoder_of_another_width_is_refused(heads):
    with pytest.raises(PluginError, match=f"5 numbers a row; emission_width is {heads.width}"):
        heads.laws(torch.zeros(2, 5))
