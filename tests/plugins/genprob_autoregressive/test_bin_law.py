"""The law of a binned number: its moments, quantiles and evidence are those of its draws."""

import numpy as np
import pytest
import torch

import genprob
from genprob.data.measure import Cell
from genprob.data.schema import Schema, Variable
from genprob.data.support import Count, Positive, Real
from genprob.query.batch import QueryBatch
from genprob.results.record import QUANTILES
from genprob_autoregressive.bin_law import BinLaw
from genprob_autoregressive.bins import Bins

SCHEMA = Schema(
    (
        Variable("x", Real()),
        Variable("n", Count()),
        Variable("p", Positive(), Cell(0.25)),
        Variable("c", Real(), Cell(2.0)),
    )
)


def law_of(name, contexts):
    rng = np.random.default_rng(0)
    n = 500
    x = rng.normal(3, 2, n)
    rows = np.stack([x, rng.poisson(4, n), np.ceil(np.exp(rng.normal(size=n)) / 0.25) * 0.25, np.round(x) * 2], 1)
    bins = Bins.of(SCHEMA, rows.astype(float), np.ones(rows.shape, dtype=bool), 6)
    j = SCHEMA.names.index(name)
    torch.manual_seed(1)
    return BinLaw(bins, j, torch.log_softmax(torch.randn(contexts, bins.sizes[j]).double(), 1))


@pytest.mark.parametrize("name", SCHEMA.names)
def test_marginals_are_those_of_draws(name):
    law = law_of(name, 3)
    found = law.marginal(1)
    drawn = law.take(torch.arange(3).repeat(40_000)).draw().numpy()
    assert found.mean[0] == pytest.approx(drawn.mean(), abs=5 * drawn.std() / np.sqrt(len(drawn)))
    assert found.sd[0] == pytest.approx(drawn.std(), rel=0.03)
    for level, quantile in zip(QUANTILES, found.quantiles[0], strict=True):
        assert (drawn <= quantile + 1e-9).mean() >= level - 0.01
        assert (drawn < quantile - 1e-9).mean() <= level + 0.01


@pytest.mark.parametrize("name", SCHEMA.names)
@pytest.mark.parametrize("evidence", [genprob.Within(2.0, 6.0), genprob.Soft(4.0, sd=1.5)])
def test_evidence_is_met_as_draws_that_meet_it_say(name, evidence):
    law = law_of(name, 1).take(torch.zeros(60_000, dtype=torch.long))
    x = law.draw().numpy()
    if isinstance(evidence, genprob.Soft):
        weight = np.exp(-0.5 * ((4.0 - x) / 1.5) ** 2) / (1.5 * np.sqrt(2 * np.pi))
    else:
        weight = ((x >= 2.0) & (x <= 6.0)).astype(float)
    queries = QueryBatch.from_evidence(SCHEMA, [{name: evidence}]).take(np.zeros(60_000, dtype=int))
    met = law.meet(queries)
    assert met.log_mass[0].exp().item() == pytest.approx(weight.mean(), rel=0.03)
    mean, met_mean = (weight * x).sum() / weight.sum(), met.values.mean().item()
    assert met_mean == pytest.approx(mean, abs=0.02 * x.std())
    assert not met.log_weight.any()
