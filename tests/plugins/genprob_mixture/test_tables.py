"""Tables: count laws against scipy, their fit against a fine search, one-hots and normalisation."""

import numpy as np
import pytest
import torch
from scipy import stats

from genprob.data.schema import Schema, Variable
from genprob.data.support import Binary, Categorical, Count, Real
from genprob_mixture.tables import Tables, fit_size, negative_binomial

SCHEMA = Schema(
    (
        Variable("g", Categorical(("a", "b", "c"))),
        Variable("x", Real()),
        Variable("b", Binary(), dims=("t",), shape=(2,)),
        Variable("n", Count()),
    )
)


@pytest.mark.parametrize("mean", [1e-3, 0.7, 12.0, 4e3])
@pytest.mark.parametrize("size", [0.05, 1.0, 37.0, 9e4])
def test_law_of_counts_is_scipys_negative_binomial(mean, size):
    n = np.unique(np.concatenate([np.arange(30), np.linspace(0, 5 * mean + 30, 40).round()]))
    expected = stats.nbinom.logpmf(n, size, size / (size + mean))
    got = negative_binomial(torch.as_tensor(n), torch.tensor(mean).double().log(), torch.tensor(size).double().log())
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("mean", [0.3, 20.0, 500.0])
def test_a_large_size_is_the_poisson_law(mean):
    n = np.arange(0, int(mean + 8 * np.sqrt(mean)) + 5)
    for log_size in (14.0, 18.0, 25.0):
        law = negative_binomial(torch.as_tensor(n).double(), torch.tensor(mean).double().log(), torch.tensor(log_size))
        spread = 2 * mean**2 / np.exp(log_size) + 1e-8
        np.testing.assert_allclose(law.exp(), stats.poisson.pmf(n, mean), rtol=20 * spread + 1e-6, atol=1e-9)


def test_the_law_has_no_seam_where_large_sizes_begin():
    n = torch.arange(0, 400, dtype=torch.float64)
    sizes = torch.tensor([99_990, 100_010]).double().log()
    below, above = (negative_binomial(n, torch.tensor(4.0).double(), size) for size in sizes)
    assert (below - above).abs().max() < 1e-3


@pytest.mark.parametrize("log_mean, log_size", [(0.0, -3.0), (2.0, 0.5), (5.0, 6.0), (3.0, 12.0)])
def test_counts_normalise_with_their_mean_and_variance(log_mean, log_size):
    m, r = np.exp(log_mean), np.exp(log_size)
    sd = np.sqrt(m + m * m / r)
    n = torch.arange(0, int(m + 60 * sd) + 50, dtype=torch.float64)
    p = negative_binomial(n, torch.tensor(log_mean).double(), torch.tensor(log_size).double()).exp().numpy()
    assert p.sum() == pytest.approx(1.0, abs=1e-6)
    centre = p @ n.numpy()
    assert centre == pytest.approx(m, rel=1e-5)
    assert p @ (n.numpy() - centre) ** 2 == pytest.approx(sd**2, rel=1e-3)


@pytest.mark.parametrize("size", [0.5, 4.0, 60.0])
def test_fitted_size_is_the_most_likely_one(size):
    rng = np.random.default_rng(0)
    draws = rng.negative_binomial(size, size / (size + 6.0), 5000)
    values, hist = np.unique(draws, return_counts=True)
    mean = torch.tensor([draws.mean()]).log()
    found = torch.zeros(1, dtype=torch.float64)
    for _ in range(4):
        found = fit_size(torch.as_tensor(hist[None]).double(), torch.as_tensor(values).double(), mean, found)
    grid = np.linspace(-3, 9, 2401)
    score = [hist @ stats.nbinom.logpmf(values, np.exp(s), np.exp(s) / (np.exp(s) + draws.mean())) for s in grid]
    own = hist @ stats.nbinom.logpmf(values, np.exp(found.item()), 1 / (1 + draws.mean() / np.exp(found.item())))
    assert own >= max(score) - 0.05


def test_fitting_the_size_never_makes_it_less_likely():
    rng = np.random.default_rng(1)
    values = torch.arange(12, dtype=torch.float64)
    for _ in range(30):
        hist = torch.as_tensor(rng.gamma(0.3, size=(3, 12)))
        mean = (hist @ values / hist.sum(1)).log()
        start = torch.as_tensor(rng.uniform(-4, 12, 3))

        def score(size, hist=hist, mean=mean):
            return (hist * negative_binomial(values, mean[:, None], size[:, None])).sum(1)

        assert (score(fit_size(hist, values, mean, start)) >= score(start) - 1e-9).all()


def test_levels_lie_side_by_side():
    tables = Tables.of(SCHEMA)
    assert (tables.levels, tables.sizes, tables.starts) == ([0, 2, 3], [3, 2, 2], [0, 3, 5])
    assert (tables.counts, tables.width) == ([4], 7)
    values = torch.tensor([[2.0, 9.0, 1.0, 0.0, 5.0], [0.0, 9.0, 0.0, 1.0, 5.0]], dtype=torch.float64)
    observed = torch.tensor([[True] * 5, [False, True, True, True, True]])
    assert tables.one_hot(values, observed).tolist() == [[0, 0, 1, 0, 1, 1, 0], [0, 0, 0, 1, 0, 0, 1]]


@pytest.mark.parametrize("schema", [SCHEMA, Schema(SCHEMA.variables[2:3])])
def test_probabilities_of_each_column_add_up_to_one(schema):
    tables = Tables.of(schema)
    logits = torch.randn(4, tables.width, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 5
    probs = tables.normalise(logits).exp()
    for part in probs.split(tables.sizes, -1):
        torch.testing.assert_close(part.sum(-1), torch.ones(4, dtype=torch.float64))
    start = tables.starts[-1]
    own = torch.softmax(logits[:, start:], -1)
    torch.testing.assert_close(probs[:, start:], own)
