"""Orders: the log-probability of points along orders of their variables, for models that know any given any others."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from genprob.query import diagnostics
from genprob.query.batch import POINT, QueryBatch
from genprob.query.capabilities import AnyOrder, Contexts, Ensemble, Law
from genprob.query.log_evidence import LogEvidence

LAW = "order-mixture"
_ROWS = 65_536
"""Rows of orders that are worked on at once."""


@dataclass(frozen=True, eq=False)
class Scored:
    """log p of Q queries' points, by every member of an ensemble along K orders.

    Attributes:
        log_p: `[Q, members, K]` nats; where nothing is known 0.
        every: whether these are all the orders that there are.
    """

    log_p: np.ndarray
    every: bool

    def take(self, index: np.ndarray) -> Scored:
        """The scores of the queries at these positions."""
        return Scored(self.log_p[index], self.every)

    @property
    def evidence(self) -> LogEvidence:
        """log (1 / M K) sum_mk p_mk(points): members are summed, orders too or they are draws."""
        of_order = np.logaddexp.reduce(self.log_p, axis=1) - math.log(self.log_p.shape[1])
        orders = of_order.shape[1]
        value = np.logaddexp.reduce(of_order, axis=1) - math.log(orders)
        if self.every:
            return LogEvidence(value, np.zeros(len(value)), "exact", LAW)
        error = np.full(len(value), np.nan) if orders == 1 else diagnostics.log_mean_error(of_order)
        return LogEvidence(value, error, "estimate", LAW)

    @property
    def of_member(self) -> np.ndarray:
        """`[Q, members]` the average over orders."""
        return np.logaddexp.reduce(self.log_p, axis=2) - math.log(self.log_p.shape[2])

    @property
    def log_share(self) -> np.ndarray:
        """`[Q, members]` log p(member | points)."""
        own = np.where(np.isfinite(self.of_member).any(1, keepdims=True), self.of_member, 0.0)
        return own - np.logaddexp.reduce(own, axis=1, keepdims=True)

    @property
    def disagreement(self) -> dict[str, np.ndarray]:
        """Standard deviations `[Q]` of log p in nats: over orders, within members; and over members, if several."""
        orders = self.log_p.shape[2]
        blank = np.full(len(self.log_p), 0.0 if self.every else np.nan)
        with np.errstate(invalid="ignore"):
            found = {"order_disagreement": np.sqrt(self.log_p.var(2, ddof=1).mean(1)) if orders > 1 else blank}
            if self.log_p.shape[1] > 1:
                found["member_disagreement"] = self.of_member.std(1, ddof=1)
        return found


def members(model: AnyOrder) -> int:
    """How many members the model's mixture has."""
    return model.members if isinstance(model, Ensemble) else 1


def contexts(model: AnyOrder, values: Tensor, known: Tensor, member: Tensor) -> Contexts:
    """Partly known rows `[n, width]` as their `member [n]` sees them."""
    return model.contexts(values, known, member) if isinstance(model, Ensemble) else model.contexts(values, known)


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


def score_points(model: AnyOrder, values: Tensor, known: Tensor, orders: int, given: Tensor | None = None) -> Scored:
    """log p of the known cells of rows `[Q, width]` given some of them, along every or along `orders` random orders."""
    given = torch.zeros_like(known) if given is None else given
    known = known & ~given
    number = members(model)
    most = int(known.sum(1).max()) if len(known) else 0
    if not most:
        return Scored(np.zeros((len(known), number, 1)), True)
    order, every = some_orders(most, orders)
    order = order.to(values.device)
    slot = (known.cumsum(1) - 1).clamp(min=0)
    parts = []
    for rows in torch.arange(len(values), device=values.device).split(max(1, _ROWS // len(order))):
        turn = torch.where(known[rows, None], order[:, slot[rows]].transpose(0, 1), most)
        # Turns of the known cells count 0, 1, ... in each order; where fewer are known, some turns stay away.
        turn = turn.argsort(2).argsort(2)
        each = [along(model, values[rows], known[rows], turn, given[rows], m) for m in range(number)]
        parts.append(torch.stack(each, 1))
    return Scored(torch.cat(parts).cpu().numpy(), every)


def some_orders(length: int, number: int) -> tuple[Tensor, bool]:
    """Orders of so many places `[K, length]`, and whether they are all that there are.

    Otherwise they come in pairs of a random one and its reverse.
    """
    if length < 12 and math.factorial(length) <= number:
        return torch.tensor(list(itertools.permutations(range(length)))), True
    half = torch.stack([torch.randperm(length) for _ in range((number + 1) // 2)])
    return torch.stack([half, length - 1 - half], 1).flatten(0, 1)[:number], False


def along(model: AnyOrder, values: Tensor, known: Tensor, turn: Tensor, given: Tensor, member: int = 0) -> Tensor:
    """log p of the known cells along orders: cell j of row q comes at `turn [Q, K, width]` of each; `[Q, K]`."""
    q, k, width = turn.shape
    turn, known = turn.reshape(-1, width), known.repeat_interleave(k, 0)
    row = torch.arange(q, device=values.device).repeat_interleave(k)
    out = torch.zeros(q * k, dtype=torch.float64, device=values.device)
    # Where nothing is given the first step is one for all rows.
    alike = not bool(given.any())
    first = row * 0 if alike else row
    for step in range(int(known.sum(1).max()) if q else 0):
        now = known & (turn == step)
        going = torch.nonzero(now.any(1))[:, 0]
        at = torch.arange(1 if alike else q, device=row.device) if not step else row[going]
        before = given[at] if not step else given[at] | (known[going] & (turn[going] < step))
        here = contexts(model, values[at], before, torch.full_like(at, member))
        for j, where in by_column(now[going].to(torch.int8).argmax(1)):
            law = here.law(j, where) if step else shared(here, j, first[going[where]])
            out[going[where]] += law.log_prob(values[row[going[where]], j])
    return out.reshape(q, k)


def by_column(column: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Each distinct column, and the positions that name it."""
    for j in torch.unique(column).tolist():
        yield j, torch.nonzero(column == j)[:, 0]


def shared(contexts: Contexts, j: int, index: Tensor) -> Law:
    """The laws of column j for rows whose contexts are `index`, each distinct one worked out once."""
    distinct, where = torch.unique(index, return_inverse=True)
    return contexts.law(j, distinct).take(where)
