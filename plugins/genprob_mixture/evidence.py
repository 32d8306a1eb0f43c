"""Evidence in a mixture's coordinates: points, noisy readings and boxes on encoded reals, likelihoods on tables."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from genprob.errors import UsageError
from genprob.query.batch import LIKELIHOOD, NOISY, NOTHING, POINT, RANGE, SET, QueryBatch
from genprob_mixture.tables import negative_binomial

if TYPE_CHECKING:
    from genprob_mixture.mixture import Mixture

_MOST_COUNTS = 200_000


@dataclass(eq=False)
class Evidence:
    """What queries know, encoded.

    Attributes:
        known: `[Q, d]` bool, points on true reals, with `y [Q, d]` (0 elsewhere).
        noisy: `[Q, d]` bool, readings linear in the encoded coordinate, with `reading` and `noise` (variance).
        bent: `[Q, d]` bool, readings that are not (a log in between, or cells), with `value` and `sd` in data units.
        boxed: `[Q, d]` bool, cells, ranges and sets: the union of intervals `[lower, upper]`, each `[Q, d, M]`.
        log_scale: `[Q]` log-Jacobian of what is a density.
        table: `[Q, K]` log-likelihood of the evidence on levels and counts under each component.
        levels: `[Q, width]` log-likelihood of each level (0 where nothing is known), or None if no query knows one.
        counts: flat position of a count column -> `[Q, U]` log-likelihood of 0..U-1, where some query knows it.
    """

    known: Tensor
    y: Tensor
    noisy: Tensor
    reading: Tensor
    noise: Tensor
    bent: Tensor
    value: Tensor
    sd: Tensor
    boxed: Tensor
    lower: Tensor
    upper: Tensor
    log_scale: Tensor
    table: Tensor
    levels: Tensor | None = None
    counts: dict[int, Tensor] = field(default_factory=dict)

    def of(self, queries: slice | Tensor) -> Evidence:
        """What some of the queries know."""
        tensors = {f.name: getattr(self, f.name) for f in fields(self)}
        cut = {name: t[queries] for name, t in tensors.items() if isinstance(t, Tensor)}
        return replace(self, **cut, counts={j: likelihood[queries] for j, likelihood in self.counts.items()})


def linear(mixture: Mixture, c: int) -> bool:
    """True where a reading of the real column c is linear in its encoded coordinate."""
    encoder = mixture.encoder
    return not (c in encoder.positive or c in encoder.bounded or encoder.power or encoder.cells[c] is not None)


@torch.no_grad()
def encode(mixture: Mixture, queries: QueryBatch) -> Evidence:
    """The evidence of a query batch."""
    encoder, device = mixture.encoder, mixture.logits.device
    columns = encoder.columns
    kind = torch.as_tensor(queries.kind[:, columns].astype(np.int64), device=device)
    a = torch.as_tensor(queries.a[:, columns], device=device)
    b = torch.as_tensor(queries.b[:, columns], device=device)
    n, d = kind.shape
    cell = torch.tensor([x is not None for x in encoder.cells], dtype=torch.bool, device=device)
    flat = torch.tensor([linear(mixture, c) for c in range(d)], dtype=torch.bool, device=device)
    point = kind == POINT
    known = point & ~cell
    filler = encoder.decode(torch.zeros(1, d, dtype=torch.float64, device=device)).expand(n, d)
    at = torch.where(known, a, filler)
    y = torch.where(known, encoder.encode(at), 0.0)
    noisy, bent = (kind == NOISY) & flat, (kind == NOISY) & ~flat
    slope = (encoder.scale * encoder.stretch).expand(n, d)
    log_scale = torch.where(known, encoder.log_jacobian(at), 0.0).sum(-1)
    log_scale = log_scale - torch.where(noisy, torch.log(slope), 0.0).sum(-1)
    lower, upper = _boxes(mixture, queries, kind, a, b)
    boxed = (point & cell) | (kind == RANGE) | (kind == SET)
    out = Evidence(
        known=known,
        y=y,
        noisy=noisy,
        reading=torch.where(noisy, encoder.encode(torch.where(noisy, a, filler)), 0.0),
        noise=torch.where(noisy, (b / slope).square(), 0.0),
        bent=bent,
        value=torch.where(bent, a, 0.0),
        sd=torch.where(bent, b, 1.0),
        boxed=boxed,
        lower=lower,
        upper=upper,
        log_scale=log_scale,
        table=torch.zeros(n, len(mixture.logits), dtype=torch.float64, device=device),
    )
    _add_levels(mixture, queries, out)
    _add_counts(mixture, queries, out)
    return out


def _boxes(mixture: Mixture, queries: QueryBatch, kind: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Encoded ends of the intervals of every box, `[Q, d, M]`; unused intervals are empty (lower > upper)."""
    encoder = mixture.encoder
    n, d = kind.shape
    sets = {c: queries.sets[j] for c, j in enumerate(encoder.columns) if j in queries.sets}
    most = max([1, *(s.shape[1] for s in sets.values())])
    low = np.full((n, d, most), np.inf)
    high = np.full((n, d, most), -np.inf)
    kinds, first, second = kind.cpu().numpy(), a.cpu().numpy(), b.cpu().numpy()
    for c, cell in enumerate(encoder.cells):
        ranged = kinds[:, c] == RANGE
        if cell is None:
            low[ranged, c, 0], high[ranged, c, 0] = first[ranged, c], second[ranged, c]
            continue
        points = kinds[:, c] == POINT
        low[points, c, 0], high[points, c, 0] = cell.edges(first[points, c])
        low[ranged, c, 0], high[ranged, c, 0] = cell.span(first[ranged, c], second[ranged, c])
        if c in sets:
            chosen = (kinds[:, c] == SET)[:, None] & ~np.isnan(sets[c])
            below, above = cell.edges(np.nan_to_num(sets[c]))
            width = sets[c].shape[1]
            low[:, c, :width] = np.where(chosen, below, low[:, c, :width])
            high[:, c, :width] = np.where(chosen, above, high[:, c, :width])
    ends = [torch.as_tensor(e.transpose(0, 2, 1).reshape(n * most, d), device=kind.device) for e in (low, high)]
    encoded = [encoder.encode(e).reshape(n, most, d).transpose(1, 2) for e in ends]
    empty = torch.as_tensor(low > high, device=kind.device)
    return torch.where(empty, torch.inf, encoded[0]), torch.where(empty, -torch.inf, encoded[1])


def _add_levels(mixture: Mixture, queries: QueryBatch, out: Evidence) -> None:
    tables = mixture.tables
    if not tables.levels or not (queries.kind[:, tables.levels] != NOTHING).any():
        return
    device = mixture.logits.device
    weights = np.ones((len(queries), tables.width))
    for start, size, j in zip(tables.starts, tables.sizes, tables.levels, strict=True):
        kind = queries.kind[:, j]
        part = weights[:, start : start + size]
        if j in queries.likelihoods:
            soft = np.isin(kind, (SET, LIKELIHOOD))
            part[soft] = queries.likelihoods[j][soft]
        point = np.flatnonzero(kind == POINT)
        part[point] = 0.0
        part[point, queries.a[point, j].astype(int)] = 1.0
    levels = torch.log(torch.as_tensor(weights, device=device))
    log_probs = mixture.level_log_probs().detach()
    hits = torch.as_tensor(weights, device=device)
    for start, size, j in zip(tables.starts, tables.sizes, tables.levels, strict=True):
        if (queries.kind[:, j] != NOTHING).any():
            known = torch.as_tensor(queries.kind[:, j] != NOTHING, device=device)
            mass = hits[:, start : start + size] @ log_probs[:, start : start + size].exp().T
            out.table += torch.where(known[:, None], torch.log(mass), 0.0)
    out.levels = levels


def _add_counts(mixture: Mixture, queries: QueryBatch, out: Evidence) -> None:
    device = mixture.logits.device
    for c, j in enumerate(mixture.tables.counts):
        kind = queries.kind[:, j]
        if not (kind != NOTHING).any():
            continue
        mean, size = mixture.log_mean[:, c].detach(), mixture.log_size[:, c].detach()
        point = torch.as_tensor(kind == POINT, device=device)
        a = torch.as_tensor(np.nan_to_num(queries.a[:, j]), device=device)
        at = torch.where(point, a, 0.0)
        out.table += torch.where(point[:, None], negative_binomial(at[:, None], mean, size), 0.0)
        other = ~np.isin(kind, (NOTHING, POINT))
        if not other.any():
            continue
        spread = torch.sqrt(mean.exp() + (2 * mean - size).exp())
        ends = np.concatenate([queries.a[other, j], queries.b[other, j], queries.sets.get(j, np.zeros((0, 1))).ravel()])
        reach = float((mean.exp() + 40 * spread).max())
        largest = max(reach, np.max(ends[np.isfinite(ends)], initial=0.0)) + 50
        if largest > _MOST_COUNTS:
            raise UsageError(
                f"variable {mixture.schema.columns[j].name!r}: ranges, sets and noisy readings of counts are summed "
                f"one by one up to {_MOST_COUNTS}, not to {largest:.0f}; give a value, or make it a real of cell(1)"
            )
        top = int(largest)
        grid = torch.arange(top + 1, dtype=torch.float64, device=device)
        likelihood = torch.zeros(len(queries), top + 1, dtype=torch.float64, device=device)
        b = torch.as_tensor(np.nan_to_num(queries.b[:, j], nan=1.0), device=device)
        ranged = torch.as_tensor(kind == RANGE, device=device)[:, None]
        inside = (grid >= a[:, None]) & (grid <= b[:, None])
        likelihood = torch.where(ranged & ~inside, -torch.inf, likelihood)
        noisy = torch.as_tensor(kind == NOISY, device=device)[:, None]
        reading = torch.distributions.Normal(grid, torch.where(noisy, b[:, None], 1.0)).log_prob(a[:, None])
        likelihood = torch.where(noisy, reading, likelihood)
        for q in np.flatnonzero(kind == SET):
            allowed = queries.sets[j][q]
            likelihood[q] = -torch.inf
            likelihood[q, torch.as_tensor(allowed[~np.isnan(allowed)].astype(int), device=device)] = 0.0
        law = negative_binomial(grid, mean[:, None], size[:, None])
        mass = torch.stack([torch.logsumexp(law + likelihood[q], -1) for q in np.flatnonzero(other)])
        out.table[torch.as_tensor(other, device=device)] += mass
        out.counts[j] = likelihood
