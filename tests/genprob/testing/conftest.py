"""What reference joints are held against: integrals, sums and ranks worked out here, from the densities of points."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import special, stats

from genprob import OneOf, Soft, Within
from genprob.data.support import Categorical, Interval, Positive
from genprob.query.batch import LIKELIHOOD, NOISY, NOTHING, POINT, RANGE, SET, QueryBatch

COUNTED = 60
"""Counts beyond it have no probability worth adding in the references."""


def put(queries, column, value):
    """The queries with the column at these points, whatever was known of it."""
    kind, a = queries.kind.copy(), queries.a.copy()
    kind[:, column], a[:, column] = POINT, value
    return replace(queries, kind=kind, a=a)


def repeated(queries, times):
    return queries.take(np.repeat(np.arange(len(queries)), times))


def forget(queries, column):
    keep = np.ones(queries.kind.shape, dtype=bool)
    keep[:, column] = False
    return queries.only(keep)


def listed(variable, draws):
    """The values of a variable that can be listed, or None."""
    if variable.cardinality is not None:
        return np.arange(variable.cardinality, dtype=float)
    if variable.is_count:
        return np.arange(COUNTED, dtype=float)
    if variable.cell is not None:
        first, last = variable.cell.index(np.array([draws.min() - 6, draws.max() + 6]))
        return variable.cell.value(np.arange(first, last + 1))
    return None


def likelihood(query, column, x):
    """p(evidence of the column | x) of one query, by its definition."""
    kind, a, b = query.kind[0, column], query.a[0, column], query.b[0, column]
    variable = query.schema.columns[column]
    if kind == RANGE:
        slack = 1e-9 if variable.cell else 0.0
        return ((x >= a - slack) & (x <= b + slack)).astype(float)
    if kind == NOISY:
        return stats.norm.pdf(a, x, b)
    if kind in (SET, LIKELIHOOD):
        if column in query.likelihoods:
            return query.likelihoods[column][0][x.astype(int)]
        return np.isin(np.round(x, 9), np.round(query.sets[column][0], 9)).astype(float)
    if kind == POINT:
        return (x == a).astype(float)
    return np.ones_like(x)


def panels(edges, nodes=6):
    at, share = np.polynomial.legendre.leggauss(nodes)
    half = np.diff(edges)[:, None] / 2
    return (edges[:-1, None] + half * (at + 1)).ravel(), (half * share).ravel()


def rule(query, column, draws, count=120, *, latent=False):
    """Nodes and weights over a real column, within its evidence; `draws` say where its mass is."""
    support = query.schema.columns[column].support
    if latent:  # of a tree: oscillating likelihoods leave mass where no draw says so
        ends = [-8.0, 8.0]
        if query.kind[0, column] == RANGE:
            ends = np.clip([query.a[0, column], query.b[0, column]], *ends)
        return panels(np.linspace(*ends, 251))
    if isinstance(support, Positive):
        there, back, slope = np.log, np.exp, np.exp
    elif isinstance(support, Interval):
        lo, wide = support.lo, support.hi - support.lo
        there, back = lambda x: special.logit((x - lo) / wide), lambda y: lo + wide * special.expit(y)
        slope = lambda y: wide * special.expit(y) * special.expit(-y)  # noqa: E731
    else:
        there, back, slope = np.array, np.array, np.ones_like
    y = there(draws)
    centre, scale = np.median(y), max(np.subtract(*np.quantile(y, [0.75, 0.25])), 1e-3)
    reach = 1e100 if slope is np.ones_like else 100.0
    ends = np.array([-np.pi / 2, np.pi / 2])
    if query.kind[0, column] == RANGE:  # the mass is within; a tangent from its middle reaches half-lines
        with np.errstate(divide="ignore", invalid="ignore"):
            cut = there(np.clip([query.a[0, column], query.b[0, column]], back(-reach), back(reach)))
        ends = np.arctan((cut - centre) / scale)
    angle, weight = panels(np.linspace(*ends, count + 1))
    at = centre + scale * np.tan(angle)
    keep = np.abs(at) < reach
    angle, weight, at = angle[keep], weight[keep], at[keep]
    x = back(at)
    inside = support.contains(x)
    return x[inside], (weight * scale / np.cos(angle) ** 2 * slope(at))[inside]


def log_sum_of_points(reference, query, column, draws):
    """log-evidence of one query by summing or integrating that of points over one column."""
    variable = query.schema.columns[column]
    values = listed(variable, draws)
    x, weight = (
        rule(query, column, draws, latent=variable.name in getattr(reference, "inner", ()))
        if values is None
        else (values, np.ones_like(values))
    )
    points = put(repeated(query, len(x)), column, x)
    far = np.array([bool(reason) for reason in reference.inexact(points)])  # beyond a grid, of no mass
    log_density = np.full(len(x), -np.inf)
    log_density[~far] = reference.log_evidence(points.take(~far))
    with np.errstate(divide="ignore"):
        return special.logsumexp(log_density + np.log(weight * likelihood(query, column, x)))


def ranks(reference, query, draws, rng):
    """Rosenblatt's transform of `draws [n, width]` of a query: uniform and independent if they are of the conditional.

    Column after column, each draw's place in the law of its column given the columns before.
    """
    first = {NOISY: 0, RANGE: 1, SET: 2, LIKELIHOOD: 2, NOTHING: 3}
    columns = [int(j) for j in np.flatnonzero(query.kind[0] != POINT)]
    columns.sort(key=lambda j: first[int(query.kind[0, j])])
    now, out = repeated(query, len(draws)), {}
    for position, j in enumerate(columns):
        variable, kind, x = query.schema.columns[j], query.kind[0, j], draws[:, j]
        values = listed(variable, x)
        if values is not None:
            log_mass = reference.log_evidence(put(repeated(now, len(values)), j, np.tile(values, len(x))))
            mass = np.exp(log_mass).reshape(len(x), -1) * likelihood(query, j, values)
            below = (mass * (values < x[:, None] - 1e-9)).sum(1)
            at = (mass * (np.abs(values - x[:, None]) < 1e-9)).sum(1)
            out[j] = (below + rng.random(len(x)) * at) / mass.sum(1)
        elif kind == NOISY:
            assert position == 0, "one reading of a real at a time"
            nodes, weight = rule(query, j, x)
            points = put(repeated(query, len(nodes)), j, nodes)
            near = np.array([not reason for reason in reference.inexact(points)])
            nodes, weight = nodes[near], weight[near]
            density = np.exp(reference.log_evidence(points.take(near)))
            mass = density * weight * likelihood(query, j, nodes)
            out[j] = np.interp(x, nodes, np.cumsum(mass) - mass / 2) / mass.sum()
        else:
            low = np.full(len(x), query.a[0, j] if kind == RANGE else -np.inf)
            high = np.full(len(x), query.b[0, j] if kind == RANGE else np.inf)
            share = []
            for top in (x, high):
                a, b, k = now.a.copy(), now.b.copy(), now.kind.copy()
                k[:, j], a[:, j], b[:, j] = RANGE, low, top
                if kind != RANGE and top is high:
                    k[:, j] = NOTHING
                share.append(reference.log_evidence(replace(now, kind=k, a=a, b=b)))
            out[j] = np.exp(share[0] - share[1])
        now = put(now, j, x)
    return out


def evidence_on(variable, x, spread, kind, rng):
    """Evidence of a kind that holds for the value x."""
    levels = variable.support.levels if isinstance(variable.support, Categorical) else ("0", "1")
    code = int(x)
    if kind == "point":
        return levels[code] if isinstance(variable.support, Categorical) else x
    if kind is Within:
        low, high = x - spread * rng.uniform(0.1, 1.5), x + spread * rng.uniform(0.1, 1.5)
        cut = rng.integers(4)
        return Within(None if cut == 0 else low, None if cut == 1 else high)
    if kind is OneOf:
        if variable.cardinality is not None:
            return OneOf(*{levels[code], levels[rng.integers(len(levels))]})
        step = 1.0 if variable.is_count else variable.cell.delta
        return OneOf(x, x + step * rng.integers(1, 4))
    if variable.cardinality is not None:
        return Soft({level: float(rng.uniform(0.05, 1.0)) for level in levels})
    return Soft(x + 0.3 * spread * rng.normal(), sd=spread * rng.uniform(0.2, 1.0))


def random_query(reference, rng, *, readings=1):
    """One query that has an exact answer, with evidence of mixed kinds and something left to ask."""
    sample = reference.sample(400, int(rng.integers(1 << 30)))
    spread = sample.std(0)
    while True:
        given, soft = {}, 0
        for variable in reference.schema:
            j = reference.schema.slices[variable.name].start
            kinds = sorted(reference.kinds(variable.name) & {Within, OneOf, Soft}, key=str)
            roll = rng.random()
            if roll < 0.35:
                continue
            kind = kinds[rng.integers(len(kinds))] if roll > 0.65 and kinds else "point"
            if kind is Soft and listed(variable, sample[:, j]) is None:
                soft += 1
            given[variable.name] = evidence_on(variable, sample[0, j], spread[j], kind, rng)
        if soft > readings or len(given) in (0, len(reference.schema)):
            continue
        query = QueryBatch.from_evidence(reference.schema, [given])
        if not reference.inexact(query)[0]:
            return query, given


@pytest.fixture(scope="session")
def truth():
    """The functions above."""

    class Truth:
        pass

    for function in (put, repeated, forget, listed, likelihood, rule, log_sum_of_points, ranks, random_query, panels):
        setattr(Truth, function.__name__, staticmethod(function))
    return Truth
