"""Orders: the log-probability of points along orders of their variables, for models that know any given any others."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from genprob.query import diagnostics
from genprob.query.batch import POINT, QueryBatch
from genprob.query.capabilities import AnyOrder, Contexts, Law
from genprob.query.log_evidence import LogEvidence

LAW = "order-mixture"
_ROWS = 65_536
"""Rows of orders that are worked on at once."""


def given_points(queries: QueryBatch, model: AnyOrder) -> tuple[Tensor, Tensor]:
    """Given points `[Q, width]`, on cells the table's values, 0 elsewhere; and where they are."""
    known = queries.kind == POINT
    values = np.where(known, queries.a, 0.0)
    for j, variable in enumerate(queries.schema.columns):
        if variable.cell is not None and known[:, j].any():
            values[known[:, j], j] = variable.cell.snap(values[known[:, j], j])
    parameter = next(iter(model.parameters()), None) if isinstance(model, torch.nn.Module) else None
    place = None if parameter is None else parameter.device
    return torch.as_tensor(values, device=place), torch.as_tensor(known, device=place)


def score_points(
    model: AnyOrder, values: Tensor, known: Tensor, orders: int, given: Tensor | None = None
) -> tuple[LogEvidence, np.ndarray]:
    """log p of the known cells of rows `[Q, width]` given some of them, and its standard deviation over orders."""
    given = torch.zeros_like(known) if given is None else given
    known = known & ~given
    most = int(known.sum(1).max()) if len(known) else 0
    if not most:
        return LogEvidence(np.zeros(len(known)), np.zeros(len(known)), "exact", LAW), np.zeros(len(known))
    every = most < 12 and math.factorial(most) <= orders
    if every:
        order = torch.tensor(list(itertools.permutations(range(most))))
    else:
        half = torch.stack([torch.randperm(most) for _ in range((orders + 1) // 2)])
        order = torch.stack([half, most - 1 - half], 1).flatten(0, 1)[:orders]
    order = order.to(values.device)
    slot = (known.cumsum(1) - 1).clamp(min=0)
    parts = []
    for rows in torch.arange(len(values), device=values.device).split(max(1, _ROWS // len(order))):
        turn = torch.where(known[rows, None], order[:, slot[rows]].transpose(0, 1), most)
        # Turns of the known cells count 0, 1, ... in each order; where fewer are known, some turns stay away.
        turn = turn.argsort(2).argsort(2)
        parts.append(along(model, values[rows], known[rows], turn, given[rows]))
    log_p = torch.cat(parts).cpu().numpy()
    value = np.logaddexp.reduce(log_p, axis=1) - math.log(len(order))
    unknown = np.full(len(log_p), np.nan)
    error = unknown if len(order) == 1 else diagnostics.log_mean_error(log_p)
    with np.errstate(invalid="ignore"):
        spread = log_p.std(1, ddof=1) if len(order) > 1 else np.zeros(len(log_p)) if every else unknown
    if every:
        return LogEvidence(value, np.zeros(len(log_p)), "exact", LAW), spread
    return LogEvidence(value, error, "estimate", LAW), spread


def along(model: AnyOrder, values: Tensor, known: Tensor, turn: Tensor, given: Tensor) -> Tensor:
    """log p of the known cells along orders: cell j of row q comes at `turn [Q, K, width]` of each; `[Q, K]`."""
    q, k, width = turn.shape
    turn, known = turn.reshape(-1, width), known.repeat_interleave(k, 0)
    row = torch.arange(q, device=values.device).repeat_interleave(k)
    out = torch.zeros(q * k, dtype=torch.float64, device=values.device)
    root = model.contexts(values, given)
    for step in range(int(known.sum(1).max()) if q else 0):
        now = known & (turn == step)
        going = torch.nonzero(now.any(1))[:, 0]
        before = given[row[going]] | (known[going] & (turn[going] < step))
        contexts = model.contexts(values[row[going]], before) if step else root
        for j, at in by_column(now[going].to(torch.int8).argmax(1)):
            law = contexts.law(j, at) if step else shared(contexts, j, row[going[at]])
            out[going[at]] += law.log_prob(values[row[going[at]], j])
    return out.reshape(q, k)


def by_column(column: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Each distinct column, and the positions that name it."""
    for j in torch.unique(column).tolist():
        yield j, torch.nonzero(column == j)[:, 0]


def shared(contexts: Contexts, j: int, index: Tensor) -> Law:
    """The laws of column j for rows whose contexts are `index`, each distinct one worked out once."""
    distinct, where = torch.unique(index, return_inverse=True)
    return contexts.law(j, distinct).take(where)
