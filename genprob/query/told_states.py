"""Told states: the values that evidence other than points leaves possible, where they are few enough to be summed."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from genprob.data.schema import Variable
from genprob.data.support import Interval
from genprob.query.batch import LIKELIHOOD, NOISY, RANGE, SET, QueryBatch
from genprob.query.capabilities import AnyOrder
from genprob.query.orders import along, some_orders
from genprob.query.paths import Paths, told

MOST_STATES, MOST_PIECES = 256, 4
"""Joint states, and pieces of evidence, up to which all states are summed along all orders of the pieces."""
_REACH = 6.0
"""Standard deviations of a noisy reading beyond which nothing is looked at."""
_ROWS = 65_536
_SLACK = 1e-9


def count(queries: QueryBatch) -> np.ndarray:
    """`[Q]` how many joint states the evidence other than points leaves; 0 where too many or no state can be listed.

    1 where nothing but points is known.
    """
    kinds = told(queries)
    out = np.ones(len(queries), dtype=np.int64)
    for q in np.flatnonzero(kinds.any(1)).tolist():
        columns = np.flatnonzero(kinds[q]).tolist()
        if len(columns) > MOST_PIECES:
            out[q] = 0
            continue
        for j in columns:
            found = _states(queries, q, j)
            out[q] = 0 if found is None or out[q] * len(found[0]) > MOST_STATES else out[q] * len(found[0])
    return out


def summed(model: AnyOrder, given: Paths, queries: QueryBatch) -> Paths:
    """A path for every member and joint state of the evidence, weighted by its probability and likelihood given points.

    Averaged over all orders of the pieces of evidence, so that nothing is left to chance. Raises `ValueError` where
    `count` is 0.
    """
    members, device = given.number, given.values.device
    pieces = [_joint_states(queries, q) for q in range(len(queries))]
    most = max(len(values) for _, values, _ in pieces)
    at = torch.arange(len(queries), device=device)[:, None] * members + torch.arange(members, device=device)
    row = at[:, None].expand(-1, most, -1).reshape(-1)
    values, known, member = given.values[row].clone(), given.known[row].clone(), given.member[row]
    log_weight = torch.full((len(queries), most, members), -torch.inf, dtype=torch.float64, device=device)
    points, step = known.clone(), most * members
    alike: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = {}
    for q, (columns, states, log_likelihood) in enumerate(pieces):
        rows = torch.arange(q * step, q * step + len(states) * members, device=device).reshape(-1, members)
        place = torch.as_tensor(columns, device=device)
        values[rows[..., None], place] = torch.as_tensor(states, device=device)[:, None]
        known[rows[..., None], place] = True
        log_weight[q, : len(states)] = torch.as_tensor(log_likelihood, device=device)[:, None] + given.log_weight[q]
        alike.setdefault(tuple(columns), []).append((rows, log_weight[q, : len(states)]))
    for columns, same in alike.items():
        orders, _ = some_orders(len(columns), math.factorial(MOST_PIECES))
        turn = torch.full((len(orders), known.shape[1]), len(columns), device=device)
        turn[:, list(columns)] = orders.to(device)
        for m in range(members):
            mine, parts = torch.cat([rows[:, m] for rows, _ in same]), []
            for some in mine.split(max(1, _ROWS // len(orders))):
                every = turn.expand(len(some), -1, -1)
                each = along(model, values[some], known[some] & ~points[some], every, points[some], m)
                parts.append(torch.logsumexp(each, 1) - math.log(len(orders)))
            scored = torch.cat(parts).split([len(rows) for rows, _ in same])
            for (_, weight), log_p in zip(same, scored, strict=True):
                weight[:, m] += log_p
    # The mean over paths has to be the evidence: the sum over states, the mean over members.
    log_weight = log_weight.reshape(len(queries), -1) + math.log(most)
    family = torch.arange(step, device=device).expand(len(queries), -1)
    return Paths(values, known, member, family, log_weight)


def _joint_states(queries: QueryBatch, q: int) -> tuple[list[int], np.ndarray, np.ndarray]:
    """Told columns, their joint states `[S, columns]`, and the log-likelihood `[S]` of each."""
    columns = np.flatnonzero(told(queries)[q]).tolist()
    found = [_states(queries, q, j) for j in columns]
    if any(each is None for each in found):
        raise ValueError(f"query {q}: its evidence has no list of states")
    values = np.stack(np.meshgrid(*[each[0] for each in found if each], indexing="ij"), -1).reshape(-1, len(columns))
    likelihood = np.stack(np.meshgrid(*[each[1] for each in found if each], indexing="ij"), -1)
    return columns, values, likelihood.reshape(-1, len(columns)).sum(1)


def _states(queries: QueryBatch, q: int, j: int) -> tuple[np.ndarray, np.ndarray] | None:
    """The values of column j that query q leaves possible, and their log-likelihoods; None where there is no list."""
    variable, kind = queries.schema.columns[j], queries.kind[q, j]
    a, b = float(queries.a[q, j]), float(queries.b[q, j])
    if kind in (SET, LIKELIHOOD) and variable.cardinality is not None:
        weight = queries.likelihoods[j][q]
        levels = np.flatnonzero(weight > 0)
        return levels.astype(float), np.log(weight[levels])
    if kind == SET:
        values = queries.sets[j][q]
        values = values[~np.isnan(values)]
        return values, np.zeros(len(values))
    if kind == RANGE:
        lo, hi = a, b
    elif kind == NOISY:
        lo, hi = a - _REACH * b, a + _REACH * b
    else:
        return None
    places = _places(variable, lo, hi)
    if places is None:
        return None
    log_likelihood = np.zeros(len(places))
    if kind == NOISY:
        log_likelihood = -0.5 * ((places - a) / b) ** 2 - math.log(b) - 0.5 * math.log(2 * math.pi)
    return places, log_likelihood


def _places(variable: Variable, lo: float, hi: float) -> np.ndarray | None:
    """The values of a count, or of a rounded real's grid, between two ends; None where they cannot be listed."""
    if variable.is_count:
        lo, delta, offset = max(lo, 0.0), 1.0, 0.0
    elif variable.cell is not None:
        delta, offset = variable.cell.delta, variable.cell.offset
    else:
        return None
    first, last = np.ceil((lo - offset) / delta - _SLACK), np.floor((hi - offset) / delta + _SLACK)
    if not 0 <= last - first < MOST_STATES:  # a half-line's end is infinite, which is not below either
        return None
    index = np.arange(first, last + 1)
    if variable.cell is None:
        return index
    places = variable.cell.value(index)
    low, high = (0.0, np.inf) if variable.support.kind == "positive" else (-np.inf, np.inf)
    if isinstance(variable.support, Interval):
        low, high = variable.support.lo, variable.support.hi
    places = places[(places + delta / 2 > low) & (places - delta / 2 < high)]
    return places if len(places) else None
