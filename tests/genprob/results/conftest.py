"""Answers to play with: every support, event dimensions, awkward names, one query or several."""

import dataclasses

import numpy as np
import pytest

from genprob.data.measure import Cell
from genprob.data.schema import Schema, Variable
from genprob.data.support import Binary, Categorical, Count, Positive, Real
from genprob.results.record import QUANTILES, Answer, Marginal

LEVELS = ("Very Good", "Fair, so", "ünknown")
SCHEMA = Schema(
    (
        Variable("price", Positive(), Cell(1.0), unit="USD"),
        Variable("cut", Categorical(LEVELS)),
        Variable("n", Count()),
        Variable("img", Real(), dims=("y", "x"), shape=(2, 3)),
        Variable("y", Binary()),
        Variable("day", Real(), unit="days since 1970-01-01"),
        Variable("km/h", Real(), unit="km/h"),
    )
)


def draws(rng, *lead):
    values = np.empty((*lead, SCHEMA.width))
    for v in SCHEMA:
        shape = (*lead, v.size)
        if v.cardinality:
            column = rng.integers(0, v.cardinality, shape)
        else:
            column = rng.poisson(3, shape) if v.is_count else np.round(rng.gamma(5, 100, shape))
        values[..., SCHEMA.slices[v.name]] = column
    return values


def marginal(variable, draws):
    """Of `[Q, S, *event]` draws."""
    count, size = draws.shape[:2]
    if isinstance(variable.support, Categorical):
        none = np.full((count, *variable.shape), np.nan)
        parts = (none, none, none, np.full((count, len(QUANTILES), *variable.shape), np.nan))
    else:
        sd = draws.std(1)
        parts = (draws.mean(1), sd, sd / np.sqrt(size), np.moveaxis(np.quantile(draws, QUANTILES, axis=1), 0, 1))
    pmf = None
    if variable.cardinality:
        pmf = np.stack([(draws == k).mean(1) for k in range(variable.cardinality)], -1)
    return Marginal(*parts, pmf, None if pmf is None else np.sqrt(pmf * (1 - pmf) / size))


def answer(queries=3, chains=2, size=20, seed=0, single=False, prior=True, targets=SCHEMA.names, **changes):
    rng = np.random.default_rng(seed)
    values = draws(rng, queries, chains, size)
    observed = np.full((queries, SCHEMA.width), np.nan)
    observed[:, 0], observed[:, 1], observed[0, SCHEMA.slices["n"]] = 300, rng.integers(0, 3, queries), 3
    marginals = {
        t: marginal(SCHEMA[t], values[..., SCHEMA.slices[t]].reshape(queries, -1, *SCHEMA[t].shape)) for t in targets
    }
    whole = Answer(
        schema=SCHEMA,
        targets=tuple(targets),
        values=values,
        marginals=marginals,
        log_evidence=rng.normal(size=queries),
        log_evidence_se=rng.uniform(0, 0.1, queries),
        ess=rng.uniform(300, 900, queries),
        khat=np.full(queries, np.nan),
        rhat=1 + rng.uniform(0, 0.02, queries),
        tries=rng.integers(1, 3, queries),
        reliable=rng.integers(0, 2, queries),
        strategy=[("importance", "closed form")[i % 2] for i in range(queries)],
        guarantee=["consistent"] * queries,
        law=["joint"] * queries,
        limit=["draws"] * queries,
        computation=["ok"] * queries,
        support=["unknown"] * queries,
        calibration=["unknown"] * queries,
        reasons=[f"reason {i % 2}: ü" for i in range(queries)],
        seconds=0.5,
        seed=7,
        given=[{"price": "300", "km/h": f"{i}..{i + 1}"} for i in range(queries)],
        observed=observed,
        prior=draws(rng, chains, size) if prior else None,
        single=single,
        provenance={"versions": {"genprob": "0"}},
    )
    return dataclasses.replace(whole, **changes)


def part(whole, chosen):
    """The answer to some of its queries."""

    def cut(value):
        if isinstance(value, (np.ndarray, list)):
            return value[chosen]
        return value

    changes = {f.name: cut(getattr(whole, f.name)) for f in dataclasses.fields(Answer) if f.name != "prior"}
    changes["marginals"] = {
        name: Marginal(*(cut(getattr(m, f.name)) for f in dataclasses.fields(Marginal)))
        for name, m in whole.marginals.items()
    }
    return dataclasses.replace(whole, **changes)


@pytest.fixture(scope="session")
def make_answer():
    return answer


@pytest.fixture(scope="session")
def cut_answer():
    return part
