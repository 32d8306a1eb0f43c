"""Ordered models: a product of conditionals over levels in a stated order, or the mixture of such products."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from genprob.data.batch import Batch
from genprob.data.schema import Schema
from genprob.errors import UsageError
from genprob.model import Model
from genprob.query.batch import NOTHING, QueryBatch
from genprob.query.diagnostics import log_mean_error
from genprob.query.log_evidence import LogEvidence
from genprob_autoregressive import segments
from genprob_autoregressive.bins import Bins
from genprob_autoregressive.level_cloud import LevelCloud

LISTED = 1024
"""States up to which what evidence leaves is summed state by state."""
_EXACT = 1024
"""Draws that stand for an exact conditional with more states."""
_SCORED = 256
"""Completions by which the evidence of a row with holes is estimated."""
_QUICK = 4
_ISLAND = 16
"""Particles of an island, where much evidence comes late in the order."""
_LATE = 3
"""Columns of late evidence that weights bear without islands."""
_PIECE = 16_384
"""Rows that go through the network at once."""
_MANY_LEVELS = 1000
_MANY_ROWS = 10_000


class OrderedModel(Model):
    """p(levels) = product over an order of p(level | levels before), or the mean of that over several orders.

    Numbers are binned (`Bins`), so that every column is a choice among levels. What a subclass brings is the network:
    `log_probs` and `next_log_probs`, and `agnostic_density` for training over all orders.

    A fixed order cannot skip a missing cell: training sums it out by Monte Carlo. Completions are drawn along the
    order and weighted by the known cells; the weighted mean of their gradients is the gradient of log p(known cells)
    (Fisher's identity), with an error that falls as 1 / completions. Trained over all orders, a row is scored in an
    order in which its known cells come first, and nothing is summed out.

    Queries: states are listed and summed where they are few, ancestral draws are exact where all evidence comes first
    in the order, and elsewhere particles walk the order, weighted by how well they foresee the evidence.
    """

    inferences: ClassVar[tuple[str, ...]] = ("ml",)
    precision = torch.float64
    log_partition = 0.0
    log_partition_se = 0.0
    sequences: Tensor

    def __init__(
        self,
        schema: Schema,
        hidden: Sequence[int],
        agnostic: bool,
        orders: int,
        average: str,
        bins: int,
        completions: int,
    ) -> None:
        super().__init__(schema)
        if not hidden or min(hidden) < 1:
            raise UsageError(f"hidden={list(hidden)}: name the width of at least one hidden layer, each 1 or more")
        if orders < 1 or bins < 2 or completions < 1:
            raise UsageError("orders and completions must be at least 1, bins at least 2")
        if orders > 1 and not agnostic:
            raise UsageError(f"orders={orders}: a network of one order knows no other; add agnostic=true, or orders=1")
        if average != "densities":
            raise UsageError(
                f"average={average!r}: averaging each variable's conditionals over orders gives numbers that belong to "
                "no joint density; average whole densities (average=densities), which is one"
            )
        self.hidden, self.agnostic, self.most_bins, self.completions = list(hidden), agnostic, bins, completions
        width = schema.width
        sequences = [torch.randperm(width) if agnostic else torch.arange(width) for _ in range(orders)]
        self.register_buffer("sequences", torch.stack(sequences))
        self.rows = 0
        self.bins: Bins | None = None
        self.orders = orders
        self.law = "joint" if orders == 1 else "order-mixture"

    # --- what a subclass brings

    def network(self, sizes: list[int]) -> nn.Module:
        """The network over columns of these numbers of levels."""
        raise NotImplementedError

    def log_probs(self, levels: Tensor, known: Tensor, order: Tensor) -> Tensor:
        """log p of every level `[n, total]` given the known cells of `levels [n, width]` before it in the order."""
        raise NotImplementedError

    def next_log_probs(self, levels: Tensor, known: Tensor, order: Tensor, position: int) -> Tensor:
        """The same of one column's levels, `[n, size]`, where exactly cells before it in the order are known."""
        raise NotImplementedError

    def agnostic_density(self, levels: Tensor, known: Tensor) -> Tensor:
        """An unbiased estimate of the mean over orders of log p(known cells), `[n]`, differentiable."""
        raise NotImplementedError

    # --- structure and start

    @property
    def recipe(self) -> dict[str, dict[str, Any]]:
        """What suits the model best, by inference: 60 epochs, twice as many over all orders, within bounds."""
        batch_size = 128 if self.rows < _MANY_ROWS else 512
        epochs = 120 if self.agnostic else 60
        steps = min(max(epochs * -(-self.rows // batch_size), 500), 6000)
        return {"ml": {"steps": steps, "lr": 3e-3, "batch_size": batch_size, "clip": 5.0, "ema": 0.99}}

    def structure(self) -> dict[str, Any]:
        return {"bins": self.placed.structure(), "rows": self.rows}

    def build(self, structure: dict[str, Any]) -> None:
        self.rows = int(structure["rows"])
        self._allocate(Bins.built(self.schema, structure["bins"]))

    def prepare(self, batch: Batch, *, seed: int) -> list[str]:
        """Places the bins, and starts every conditional at the frequencies of the training rows."""
        values, observed = batch.values.cpu().numpy(), batch.observed.cpu().numpy()
        self.rows = len(batch)
        self._allocate(Bins.of(self.schema, values, observed, self.most_bins))
        levels = self.placed.encode(batch.values)
        hits = segments.one_hot(levels, batch.observed, self._first, self.placed.total).sum(0) + 0.5
        with torch.no_grad():
            self.start_at(torch.log(hits))
        notes = []
        for j in self.placed.labels:
            if self.placed.sizes[j] > _MANY_LEVELS:
                notes.append(
                    f"variable {self.schema.columns[j].name!r} has {self.placed.sizes[j]} levels, each an output of "
                    "the network; join rare ones, or give it role 'ignored'"
                )
        return notes

    def start_at(self, logits: Tensor) -> None:
        """Sets the outputs' offsets `[total]`."""
        raise NotImplementedError

    @property
    def placed(self) -> Bins:
        """The bins, which `prepare` places and `build` restores."""
        assert self.bins is not None, "prepare or build comes first"
        return self.bins

    def levels_of(self, column: int) -> slice:
        """Where a flat column's levels stand among all."""
        return slice(self.placed.starts[column], self.placed.starts[column + 1])

    @property
    def _first(self) -> Tensor:
        return self.placed.first.to(self.sequences.device)

    def _allocate(self, bins: Bins) -> None:
        self.bins = bins
        self.net = self.network(bins.sizes).to(self.sequences.device)

    def indicators(self, levels: Tensor, known: Tensor) -> Tensor:
        """`[n, total]`, zero at unknown cells."""
        return segments.one_hot(levels, known, self._first, self.placed.total)

    def normalised(self, logits: Tensor) -> Tensor:
        """Logits `[n, total]` as log-probabilities within each column."""
        return segments.log_softmax(logits, self.placed.segment.to(logits.device), self.schema.width)

    # --- densities

    def log_density(self, batch: Batch) -> Tensor:
        levels, known = self.placed.encode(batch.values), batch.observed
        within = torch.where(known, self.placed.log_within(batch.values), 0.0).sum(1)
        if self.agnostic:
            return self.agnostic_density(levels, known) + within
        whole = known.all(1)
        if whole.all():
            return self._along(levels, known, self.sequences[0]) + within
        out = torch.zeros_like(within)
        if whole.any():
            out[whole] = self._along(levels[whole], known[whole], self.sequences[0])
        out[~whole] = self._summed_out(levels[~whole], known[~whole])
        return out + within

    def _along(self, levels: Tensor, known: Tensor, order: Tensor) -> Tensor:
        """Sum over known cells of log p(level | known cells before it), `[n]` float64."""
        at = self.log_probs(levels, known, order).gather(1, self._first + levels)
        return torch.where(known, at.double(), 0.0).sum(1)

    def _summed_out(self, levels: Tensor, known: Tensor) -> Tensor:
        """log p(known cells) by completions along the order; its gradient is that of Fisher's identity."""
        order = self.sequences[0]
        with torch.no_grad():
            rows, log_weight = self._walk(self._told(levels, known), self.completions, order)
            share = torch.softmax(log_weight, 1)
            value = torch.logsumexp(log_weight, 1) - math.log(self.completions)
        flat = rows.reshape(-1, rows.shape[-1])
        log_p = self._along(flat, torch.ones_like(flat, dtype=torch.bool), order).reshape(share.shape)
        return value + (share * (log_p - log_p.detach())).sum(1)

    def _told(self, levels: Tensor, known: Tensor) -> Tensor:
        """Known cells as log-likelihoods of levels, `[n, total]`."""
        segment = self.placed.segment.to(levels.device)
        index = self.placed.first.to(levels.device)[segment]
        own = levels[:, segment] == torch.arange(len(segment), device=levels.device) - index
        return torch.where(known[:, segment] & ~own, -torch.inf, 0.0).double()

    @torch.no_grad()
    def _mixed(self, levels: Tensor, known: Tensor) -> Tensor:
        """log of the mean over the stated orders of `exp(_along)`, `[n]`."""
        parts = []
        for some, told in zip(levels.split(_PIECE), known.split(_PIECE), strict=True):
            each = torch.stack([self._along(some, told, order) for order in self.sequences])
            parts.append(torch.logsumexp(each, 0) - math.log(len(each)))
        return torch.cat(parts)

    def log_joint(self, values: Tensor) -> Tensor:
        """log p of complete rows `[..., width]` in data units, `[...]`."""
        flat = values.reshape(-1, values.shape[-1])
        levels = self.placed.encode(flat)
        out = self._mixed(levels, torch.ones_like(levels, dtype=torch.bool)) + self.placed.log_within(flat).sum(1)
        return out.reshape(values.shape[:-1])

    @torch.no_grad()
    def score_rows(self, batch: Batch) -> Tensor:
        """log p(known cells), `[rows]`; of one order with holes by a few completions, always the same ones."""
        levels, known = self.placed.encode(batch.values), batch.observed
        within = torch.where(known, self.placed.log_within(batch.values), 0.0).sum(1)
        if self.agnostic:
            return self._mixed(levels, known) + within
        whole = known.all(1)
        out = torch.zeros_like(within)
        if whole.any():
            out[whole] = self._mixed(levels[whole], known[whole])
        if not whole.all():
            with torch.random.fork_rng(devices=[levels.device] if levels.is_cuda else []):
                torch.manual_seed(0)
                told = self._told(levels[~whole], known[~whole])
                walked = [self._walk(part, _QUICK, self.sequences[0])[1] for part in told.split(_PIECE // _QUICK)]
            out[~whole] = torch.logsumexp(torch.cat(walked), 1) - math.log(_QUICK)
        return out + within

    def score_masks(self, batch: Batch, masks: Tensor) -> Tensor:
        rows = [Batch(batch.schema, batch.values, batch.observed & mask, batch.index, batch.total) for mask in masks]
        return torch.stack([self.score_rows(row) for row in rows])

    # --- queries

    def log_evidence(self, queries: QueryBatch) -> LogEvidence:
        """Exact where states are few or the evidence comes first, else by walks along the order."""
        told, listed, first = self._sorted(queries)
        value, error = np.zeros(len(queries)), np.zeros(len(queries))
        for rows, exact in ((listed, True), (first & ~listed, True), (~listed & ~first, False)):
            if not rows.any():
                continue
            index = torch.as_tensor(np.flatnonzero(rows), device=told.device)
            if exact and listed[rows].all():
                weight = self._list(told[index])[1]
            else:
                weight = self._walks(told[index], len(self.sequences) if exact else _SCORED, queries.take(rows))[1]
                error[rows] = 0.0 if exact else log_mean_error(weight.cpu().numpy())
            value[rows] = torch.logsumexp(weight, 1).cpu().numpy()
        return LogEvidence(value, error, "exact" if (listed | first).all() else "estimate", self.law)

    def inexact(self, queries: QueryBatch) -> list[str]:
        _, listed, first = self._sorted(queries)
        reason = f"more than {LISTED} states are left, and evidence stands after unknown variables in the order"
        return ["" if exact else reason for exact in listed | first]

    def condition(self, queries: QueryBatch) -> LevelCloud:
        told, listed, _ = self._sorted(queries)
        parts = []
        for rows in (listed, ~listed):
            if rows.any():
                index = torch.as_tensor(np.flatnonzero(rows), device=told.device)
                some = self._list(told[index]) if listed[rows].all() else self._walks(
                    told[index], _EXACT, queries.take(rows))  # fmt: skip
                parts.append((index, some))
        most = max(weight.shape[1] for _, (_, weight) in parts)
        levels = torch.zeros(len(queries), most, self.schema.width, dtype=torch.long, device=told.device)
        log_weight = torch.full((len(queries), most), -torch.inf, dtype=torch.float64, device=told.device)
        for index, (rows, weight) in parts:
            levels[index, : rows.shape[1]] = rows
            log_weight[index, : rows.shape[1]] = weight
        return LevelCloud(self.placed, levels, log_weight, queries, listed)

    def propose(self, queries: QueryBatch, particles: int) -> LevelCloud:
        told = self.placed.log_likelihood(queries, self.sequences.device)
        levels, log_weight = self._walks(told, particles, queries)
        return LevelCloud(self.placed, levels, log_weight, queries, np.zeros(len(queries), dtype=bool))

    def draw(self, draws: int) -> np.ndarray:
        nothing = QueryBatch.empty(self.schema, 1)
        told = self.placed.log_likelihood(nothing, self.sequences.device)
        which = torch.bincount(torch.randint(len(self.sequences), (draws,)), minlength=len(self.sequences)).tolist()
        parts = [self._walk(told, count, order)[0] for count, order in zip(which, self.sequences, strict=True) if count]
        return self.placed.draw(torch.cat(parts, 1)[:, torch.randperm(draws)], nothing)[0]

    def _sorted(self, queries: QueryBatch) -> tuple[Tensor, np.ndarray, np.ndarray]:
        """Evidence on levels; which queries leave few states; in which all evidence comes first in every order."""
        told = self.placed.log_likelihood(queries, self.sequences.device)
        left = torch.zeros(len(told), self.schema.width, dtype=torch.float64, device=told.device)
        left.index_add_(1, self.placed.segment.to(told.device), torch.isfinite(told).double())
        listed = (left.prod(1) <= LISTED).cpu().numpy()
        given = torch.as_tensor(queries.kind != NOTHING, device=told.device)
        first = torch.ones(len(told), dtype=torch.bool, device=told.device)
        for order in self.sequences:
            later = given[:, order].flip(1).cumsum(1).flip(1) - given[:, order].long()  # evidence still to come
            first &= ((later == 0) | (left[:, order] <= 1)).all(1)
        return told, listed, first.cpu().numpy()

    @torch.no_grad()
    def _list(self, told: Tensor) -> tuple[Tensor, Tensor]:
        """Every state `[Q, J, width]` that evidence `[Q, total]` leaves, and its log-weight `[Q, J]`, -inf pads."""
        bins, device = self.placed, told.device
        allowed, size = [], []
        for j in range(self.schema.width):
            part = torch.isfinite(told[:, bins.starts[j] : bins.starts[j + 1]])
            allowed.append(torch.argsort((~part).to(torch.int8), dim=1, stable=True))
            size.append(part.sum(1))
        count = torch.stack(size, 1).prod(1)
        state = torch.arange(int(count.max().clamp(min=1)), device=device).expand(len(told), -1)
        real, columns = state < count[:, None], []
        for values, n in zip(allowed, size, strict=True):
            n = n.clamp(min=1)[:, None]
            columns.append(values.gather(1, state % n))
            state = state // n
        levels = torch.stack(columns, -1)
        weight = torch.full(real.shape, -torch.inf, dtype=torch.float64, device=device)
        rows = levels[real]
        if len(rows):
            weight[real] = self._mixed(rows, torch.ones_like(rows, dtype=torch.bool))
        weight = weight + told.gather(1, (self._first + levels).flatten(1)).view(levels.shape).sum(-1)
        return levels, torch.where(real, weight, -torch.inf)

    def _walks(self, told: Tensor, particles: int, queries: QueryBatch) -> tuple[Tensor, Tensor]:
        """Particles dealt evenly to the stated orders, whose weights add up to p(evidence)."""
        orders = len(self.sequences)
        particles = max(particles, 2 * orders if orders > 1 and particles > orders else orders)
        dealt = (torch.arange(particles, device=told.device) // (2 if particles >= 2 * orders else 1)) % orders
        levels = torch.zeros(len(told), particles, self.schema.width, dtype=torch.long, device=told.device)
        log_weight = torch.zeros(len(told), particles, dtype=torch.float64, device=told.device)
        given = queries.kind != NOTHING
        for m, order in enumerate(self.sequences):
            own = torch.nonzero(dealt == m)[:, 0]
            late = given & (np.cumsum(~given[:, order.cpu().numpy()], 1) > 0)[:, torch.argsort(order).cpu().numpy()]
            for islands in (False, True):
                rows = torch.as_tensor(np.flatnonzero((late.sum(1) > _LATE) == islands), device=told.device)
                if not len(rows):
                    continue
                size = _ISLAND if islands else 1
                step = max(1, _PIECE // (len(own) * size))
                for part in rows.split(step):
                    found, weight = self._walk(told[part], len(own), order, size)
                    levels[part[:, None], own] = found
                    log_weight[part[:, None], own] = weight - math.log(orders * len(own))
        return levels, log_weight

    @torch.no_grad()
    def _walk(self, told: Tensor, particles: int, order: Tensor, size: int = 1) -> tuple[Tensor, Tensor]:
        """Rows `[Q, particles, width]` drawn along an order, each level by how well it meets the evidence.

        The mean of exp(log_weight) `[Q, particles]` estimates p(evidence) without bias. Each particle is one of an
        island of `size` that are resampled as they go, drawn at the end by its weight, and carries the island's mean
        weight: particles stay independent, and their spread tells the error (Naesseth, Lindsten and Schön 2015,
        Nested sequential Monte Carlo methods).
        """
        queries, bins = len(told), self.placed
        n = queries * particles * size
        levels = torch.zeros(n, self.schema.width, dtype=torch.long, device=told.device)
        known = torch.zeros(n, self.schema.width, dtype=torch.bool, device=told.device)
        log_weight = torch.zeros(queries, particles, size, dtype=torch.float64, device=told.device)
        for position, j in enumerate(order.tolist()):
            evidence = told[:, bins.starts[j] : bins.starts[j + 1]]
            scores = self.next_log_probs(levels, known, order, position).double()
            scores = scores.view(queries, particles, size, -1) + evidence[:, None, None]
            informed = bool((evidence != 0).any())
            if informed:
                log_weight = log_weight + torch.logsumexp(scores, -1)
            safe = torch.where(torch.isfinite(scores).any(-1, keepdim=True), scores, 0.0)
            cumulative = torch.softmax(safe, -1).cumsum(-1)[..., :-1]
            u = torch.rand(*scores.shape[:-1], 1, dtype=torch.float64, device=told.device)
            levels[:, j] = (u > cumulative).sum(-1).flatten()
            known[:, j] = True
            if informed and size > 1:
                levels, log_weight = _resampled(levels, log_weight)
        levels = levels.view(queries, particles, size, -1)
        if size == 1:
            return levels[:, :, 0], log_weight[..., 0]
        chosen = _index(log_weight, 1)[..., None].expand(-1, -1, -1, levels.shape[-1])
        return levels.gather(2, chosen)[:, :, 0], torch.logsumexp(log_weight, -1) - math.log(size)


def _index(log_weight: Tensor, count: int) -> Tensor:
    """`count` positions for each row of `[..., size]` log-weights, by one uniform number a row."""
    safe = torch.where(torch.isfinite(log_weight).any(-1, keepdim=True), log_weight, 0.0)
    cumulative = torch.softmax(safe, -1).cumsum(-1)
    u = torch.rand(*log_weight.shape[:-1], 1, dtype=log_weight.dtype, device=log_weight.device)
    at = (torch.arange(count, device=u.device) + u) / count
    return torch.searchsorted(cumulative, at).clamp(max=log_weight.shape[-1] - 1)


def _resampled(levels: Tensor, log_weight: Tensor) -> tuple[Tensor, Tensor]:
    """Islands whose effective sample size has fallen below half, resampled; their mean weight stays."""
    size = log_weight.shape[-1]
    total = torch.logsumexp(log_weight, -1, keepdim=True)
    share = torch.where(torch.isfinite(total), torch.exp(log_weight - total), 1 / size)
    poor = (1 / share.square().sum(-1, keepdim=True) < size / 2) & torch.isfinite(total)
    index = torch.where(poor, _index(log_weight, size), torch.arange(size, device=levels.device))
    shaped = levels.view(*log_weight.shape, -1)
    moved = shaped.gather(-2, index[..., None].expand_as(shaped)).reshape(levels.shape)
    return moved, torch.where(poor, (total - math.log(size)).expand_as(log_weight), log_weight)


Average = Literal["densities", "conditionals"]
