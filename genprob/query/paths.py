"""Paths: partly known rows of each query, which meet its evidence and are then completed variable by variable."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from genprob.query.batch import NOTHING, POINT, QueryBatch
from genprob.query.capabilities import AnyOrder, Contexts
from genprob.query.orders import by_column, contexts, shared

_WIDE, _SHARED = 32, 8
"""Where more cells than that are drawn, the draws of a query share so many orders: each costs the model anew."""


@dataclass(frozen=True, eq=False)
class Paths:
    """P weighted rows of each of Q queries, those of a query one after the other.

    Attributes:
        values, known: `[Q P, width]` data units, and what is known of each row.
        member: `[Q P]` which member of the model's mixture a row belongs to.
        family: `[Q, P]` which of the P rows that it began with each descends from.
        log_weight: `[Q, P]`; the mean of exp over the rows estimates the probability of what they met.
    """

    values: Tensor
    known: Tensor
    member: Tensor
    family: Tensor
    log_weight: Tensor

    @classmethod
    def of(cls, values: Tensor, known: Tensor, log_share: Tensor, number: int | None = None) -> Paths:
        """Rows `[Q, width]` as every member sees them, in turn: `number` of each query, or one a member.

        Members weigh as `log_share [Q, members]`, which adds up to one.
        """
        queries, members = log_share.shape
        number = members if number is None else -(-number // members) * members
        row = torch.arange(queries, device=values.device).repeat_interleave(number)
        member = torch.arange(number, device=values.device) % members
        family = torch.arange(number, device=values.device).expand(queries, -1)
        log_weight = log_share.to(values.device)[:, member] + math.log(members)
        return cls(values[row], known[row], member.repeat(queries), family, log_weight)

    @property
    def number(self) -> int:
        """Rows of each query."""
        return self.log_weight.shape[1]

    @property
    def share(self) -> Tensor:
        """`[Q, P]` weights that add up to one; alike where all are zero."""
        alive = torch.isfinite(self.log_weight).any(1, keepdim=True)
        return torch.softmax(torch.where(alive, self.log_weight, 0.0), 1)

    @property
    def of_family(self) -> np.ndarray:
        """`[Q, families]` log-weights of whole families, whose first rows were independent (Lee and Whiteley 2018)."""
        peak = self.log_weight.amax(1, keepdim=True)
        peak = torch.where(torch.isfinite(peak), peak, 0.0)
        total = self.log_weight.new_zeros(len(peak), max(self.number, int(self.family.max()) + 1))
        total.scatter_add_(1, self.family, torch.exp(self.log_weight - peak))
        return (torch.log(total) + peak).cpu().numpy()

    def take(self, index: Tensor) -> Paths:
        """The rows at `index [Q, n]` of each query, which then weigh alike."""
        at = self.flat(index)
        family, weight = self.family.gather(1, index), torch.zeros(index.shape, dtype=self.log_weight.dtype)
        return Paths(self.values[at], self.known[at], self.member[at], family, weight.to(self.log_weight.device))

    def flat(self, index: Tensor) -> Tensor:
        """Positions among all rows of `index [Q, n]` among those of each query."""
        return (index + self.number * torch.arange(len(index), device=index.device)[:, None]).reshape(-1)

    def contexts(self, model: AnyOrder) -> Contexts:
        """The rows as the model sees them."""
        return contexts(model, self.values, self.known, self.member)


def told(queries: QueryBatch) -> np.ndarray:
    """`[Q, width]`, where something other than a point is known."""
    return (queries.kind != NOTHING) & (queries.kind != POINT)


def meet(model: AnyOrder, given: Paths, root: Contexts, queries: QueryBatch, particles: int) -> Paths:
    """Particles that meet each query's evidence, in random orders, resampled where few carry the weight.

    Arguments:
        model: what knows the conditionals.
        given: each query's points, one row a member; `root` is what the model makes of them.
        queries: the evidence.
        particles: at least so many a query.
    """
    members = given.number
    first_rows = torch.arange(len(queries), device=given.values.device) * members
    points = given.values[first_rows], given.known[first_rows]
    paths = Paths.of(*points, given.log_weight - math.log(members), particles)
    values, known, member = paths.values.clone(), paths.known.clone(), paths.member
    family, log_weight = paths.family, paths.log_weight.reshape(-1).clone()
    index = torch.arange(len(queries), device=values.device).repeat_interleave(paths.number)
    pending = torch.as_tensor(told(queries), device=values.device)[index]
    turn = torch.rand(pending.shape, device=values.device)
    first = True
    while bool(pending.any()):
        going = torch.nonzero(pending.any(1))[:, 0]
        here = root if first else contexts(model, values[going], known[going], member[going])
        for j, at in by_column(torch.where(pending[going], turn[going], -1.0).argmax(1)):
            rows = going[at]
            law = shared(here, j, index[rows] * members + member[rows]) if first else here.law(j, at)
            met = law.meet(queries.take(index[rows].cpu().numpy()))
            values[rows, j], known[rows, j], pending[rows, j] = met.values, True, False
            log_weight[rows] += met.log_mass + met.log_weight
        first = False
        if bool(pending.any()):
            kept = survivors(log_weight.reshape(len(queries), -1))
            if kept is not None:
                chosen, log_weight = paths.flat(kept[0]), kept[1].reshape(-1)
                values, known, pending, turn = values[chosen], known[chosen], pending[chosen], turn[chosen]
                member, family = member[chosen], family.gather(1, kept[0])
    return Paths(values, known, member, family, log_weight.reshape(len(queries), -1))


def survivors(log_weight: Tensor) -> tuple[Tensor, Tensor] | None:
    """`[Q, P]` rows and log-weights after resampling the queries whose effective sample size is below half."""
    queries, particles = log_weight.shape
    total = torch.logsumexp(log_weight, 1, keepdim=True)
    share = torch.exp(log_weight - total).nan_to_num(1 / particles)
    poor = (1 / share.square().sum(1) < particles / 2) & torch.isfinite(total[:, 0])
    if not bool(poor.any()):
        return None
    chosen = torch.arange(particles, device=share.device).repeat(queries, 1)
    chosen[poor] = systematic(share[poor], particles)
    return chosen, torch.where(poor[:, None], total - math.log(particles), log_weight)


def systematic(share: Tensor, number: int) -> Tensor:
    """`[Q, number]` indices in proportion to `share [Q, P]`, in random order, by systematic resampling."""
    queries, particles = share.shape
    if particles == 1:
        return torch.zeros(queries, number, dtype=torch.long, device=share.device)
    at = (torch.arange(number, device=share.device) + torch.rand(queries, 1, device=share.device)) / number
    edges = share.cumsum(1)
    index = torch.searchsorted(edges / edges[:, -1:], at.to(share.dtype)).clamp(max=particles - 1)
    return index.gather(1, torch.rand(index.shape, device=share.device).argsort(1))


def walk(model: AnyOrder, paths: Paths, root: Contexts | None, index: Tensor, asked: Tensor) -> Tensor:
    """Rows `[Q n, width]` with the asked cells drawn, each in a random order of its own.

    Arguments:
        model: what knows the conditionals.
        paths: where they begin; `root` is what the model makes of them, None where it was not asked.
        index: `[Q, n]` which of its query's paths each row begins at.
        asked: `[Q, width]` cells to be drawn where they are not known.
    """
    queries, draws = index.shape
    if root is None:
        paths = paths.take(index)
        root, index = paths.contexts(model), torch.arange(draws, device=index.device).expand(queries, -1)
    at = paths.flat(index)
    values, known, member = paths.values[at], paths.known[at].clone(), paths.member[at]
    pending = asked.repeat_interleave(draws, 0) & ~known
    turn = _turns(pending, queries, draws)
    first = True
    while bool(pending.any()):
        going = torch.nonzero(pending.any(1))[:, 0]
        here = root if first else contexts(model, values[going], known[going], member[going])
        for j, of in by_column(torch.where(pending[going], turn[going], -1.0).argmax(1)):
            rows = going[of]
            if first:
                distinct, where = torch.unique(at[rows], return_inverse=True)
                drawn = here.law(j, distinct).draw(where)
            else:
                drawn = here.law(j, of).draw()
            values[rows, j], known[rows, j], pending[rows, j] = drawn, True, False
        first = False
    return values


def _turns(pending: Tensor, queries: int, draws: int) -> Tensor:
    """When each cell comes, the largest first; few orders a query where many cells are pending."""
    device, width = pending.device, pending.shape[1]
    most = int(pending.sum(1).max()) if len(pending) else 0
    if most <= 1:
        return torch.zeros(1, width, device=device).expand(pending.shape)
    if draws <= _SHARED or most <= _WIDE:
        return torch.rand(pending.shape, device=device)
    orders = torch.rand(queries, _SHARED, width, device=device)
    return orders[:, torch.arange(draws, device=device) % _SHARED].reshape(-1, width)
