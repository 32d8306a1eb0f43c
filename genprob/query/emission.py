"""Emission: particles of a latent program, each with a law per column, under evidence of every kind."""

from __future__ import annotations

import numpy as np
import torch
from scipy import special, stats
from torch import Tensor

from genprob.data.batch import Batch
from genprob.errors import UsageError
from genprob.nets.heads import Heads
from genprob.nets.laws import Law
from genprob.query.batch import NOISY, NOTHING, POINT, RANGE, SET, QueryBatch
from genprob.query.weighted import marginals
from genprob.results.record import Marginal

_REACH = 8.0
"""Standard deviations beyond which a normal law is cut off by quadrature."""
_NODES = 128
_MOST_CELLS = 256
"""With more cells than that under a noisy reading it is read as if the variable were not rounded."""
_MOST_COUNTS = 20_000
_AVERAGED = 4
"""Draws per particle that marginals rest on."""


class EmissionCloud:
    """J weighted particles a query; given one, the columns are independent with laws in closed form.

    Arguments:
        heads: the laws.
        shifted: `[Q, J, heads.width]` float64, what the decoder says of each particle, marginals added.
        log_weight: `[Q, J]` of the latents alone, unless `weighed`.
        queries: the evidence.
        weighed: whether the evidence is in the weights already.
    """

    def __init__(
        self, heads: Heads, shifted: Tensor, log_weight: Tensor, queries: QueryBatch, *, weighed: bool = False
    ) -> None:
        self.heads, self.shifted, self.queries = heads, shifted, queries
        self.log_weight = log_weight if weighed else log_weight + log_mass(heads, shifted, queries)

    @torch.no_grad()
    def draw(self, index: Tensor) -> np.ndarray:
        chosen = self.shifted.gather(1, index[..., None].expand(-1, -1, self.shifted.shape[-1]))
        return draw(self.heads, chosen, self.queries)

    @torch.no_grad()
    def marginals(self, targets: tuple[str, ...]) -> dict[str, Marginal]:
        index = torch.arange(self.log_weight.shape[1], device=self.log_weight.device).expand_as(self.log_weight)
        values = np.stack([self.draw(index) for _ in range(_AVERAGED)], 2)  # [Q, J, draw, width]
        return marginals(self.queries.schema, values, self.log_weight.cpu().numpy(), targets)


# --- the probability of evidence


def log_mass(heads: Heads, shifted: Tensor, queries: QueryBatch) -> Tensor:
    """log p(evidence | particle), `[Q, J]`: a density for points on true reals, else a probability or likelihood."""
    device = shifted.device
    point = torch.as_tensor(queries.kind == POINT, device=device)
    value = torch.as_tensor(np.nan_to_num(queries.a), device=device)
    out = torch.zeros(shifted.shape[:2], dtype=torch.float64, device=device)
    for group in heads.groups:
        asked = point[:, [heads.reals[c] for c in group]].any(0).tolist()
        columns = [c for c, any_known in zip(group, asked, strict=True) if any_known]
        if not columns or heads.encoder.cells[group[0]] is not None:
            continue
        known = point[:, [heads.reals[c] for c in columns]]
        x = torch.where(point[:, heads.reals], value[:, heads.reals], heads.centre())
        u, jacobian = heads.encoder.encode(x)[:, columns], heads.encoder.log_jacobian(x)[:, columns]
        part = heads.law(shifted, columns).log_prob(u[:, None]) + jacobian[:, None]
        out += torch.where(known[:, None], part, 0.0).sum(-1)
    if heads.binaries and bool(point[:, heads.binaries].any()):
        columns = point[:, heads.binaries].any(0).nonzero()[:, 0]
        known = point[:, heads.binaries][:, columns].double()
        logits = heads.logits(shifted)[..., columns]
        ones = value[:, heads.binaries][:, columns] * known
        out += torch.einsum("qjc,qc->qj", logits, ones)
        out -= torch.einsum("qjc,qc->qj", torch.nn.functional.softplus(logits), known)
    for j in np.flatnonzero((queries.kind != NOTHING).any(0)):
        for kind in np.unique(queries.kind[:, j]):
            handled = kind == NOTHING or (kind == POINT and _blockwise(heads, int(j)))
            if not handled:
                rows = np.flatnonzero(queries.kind[:, j] == kind)
                out[rows] += _column_mass(heads, shifted[rows], queries.take(rows), int(j), int(kind))
    return out


def _blockwise(heads: Heads, j: int) -> bool:
    """True for columns whose points are weighed all at once."""
    return j in heads.binaries or (j in heads.reals and heads.encoder.cells[heads.reals.index(j)] is None)


def _column_mass(heads: Heads, shifted: Tensor, queries: QueryBatch, j: int, kind: int) -> Tensor:
    """The same of one column, where every query has evidence of one kind."""
    if j in heads.counts:
        return _count_mass(_Counts(heads, shifted, j), queries, j, kind)
    if j in heads.binaries or j in heads.levels:
        return torch.logsumexp(_level_scores(heads, shifted, queries, j, kind), -1)
    real = _Real(heads, shifted, j)
    if kind == NOISY:
        return real.read(queries.a[:, j], queries.b[:, j])[0]
    lo, hi, _ = real.intervals(queries, j, kind)
    return torch.logsumexp(real.log_between(lo, hi), -1)


def _level_scores(heads: Heads, shifted: Tensor, queries: QueryBatch | None, j: int, kind: int) -> Tensor:
    """log p(level | particle) plus the log-likelihood of the evidence, `[Q, J, levels]`."""
    if j in heads.levels:
        scores = heads.level_log_probs(shifted, j)
    else:
        logit = heads.logits(shifted)[..., heads.binaries.index(j)]
        scores = torch.stack([torch.nn.functional.logsigmoid(-logit), torch.nn.functional.logsigmoid(logit)], -1)
    if queries is None or kind == NOTHING:
        return scores
    said = np.arange(scores.shape[-1]) == queries.a[:, j, None]
    likelihood = said if kind == POINT else queries.likelihoods[j]
    with np.errstate(divide="ignore"):
        told = torch.as_tensor(np.log(likelihood.astype(np.float64)), device=shifted.device)
    return scores + told[:, None]


# --- draws


def draw(heads: Heads, shifted: Tensor, queries: QueryBatch) -> np.ndarray:
    """One row from each particle `shifted [Q, D, heads.width]` given the evidence, `[Q, D, width]` in data units."""
    schema, device = queries.schema, shifted.device
    out = torch.full((*shifted.shape[:2], schema.width), torch.nan, dtype=torch.float64, device=device)
    if heads.reals:
        u = torch.zeros(*shifted.shape[:2], len(heads.reals), dtype=torch.float64, device=device)
        for group in heads.groups:
            u[..., group] = heads.law(shifted, group).draw()
        out[..., heads.reals] = heads.encoder.snap(heads.encoder.decode(u))
    if heads.binaries:
        logits = heads.logits(shifted)
        out[..., heads.binaries] = (torch.rand_like(logits) < torch.sigmoid(logits)).double()
    if heads.counts:
        out[..., heads.counts] = heads.count_law(heads.log_means(shifted)).sample()
    for j in heads.levels:
        out[..., j] = _draw_level(_level_scores(heads, shifted, None, j, NOTHING))
    for j in np.flatnonzero((queries.kind != NOTHING).any(0)).tolist():
        for kind in np.unique(queries.kind[:, j]).tolist():
            if kind != NOTHING:
                rows = np.flatnonzero(queries.kind[:, j] == kind)
                out[rows, :, j] = _draw_column(heads, shifted[rows], queries.take(rows), j, kind)
    return out.cpu().numpy()


def means(heads: Heads, shifted: Tensor) -> Tensor:
    """The mean row of each particle `shifted [n, heads.width]`, `[n, width]` in data units.

    Of a binary its probability; of a label, which has no mean, the likeliest code.
    """
    out = torch.empty(len(shifted), heads.schema.width, dtype=torch.float64, device=shifted.device)
    out[:, heads.reals] = heads.encoder.snap(heads.encoder.decode(heads.locations(shifted).double()))
    out[:, heads.binaries] = torch.sigmoid(heads.logits(shifted)).double()
    out[:, heads.counts] = heads.log_means(shifted).exp().double()
    for j in heads.levels:
        out[:, j] = heads.level_log_probs(shifted, j).argmax(-1).double()
    return out


def remade(heads: Heads, outputs: Tensor, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a batch, NaN at holes, and the means of what a decoder says at their codes, `[rows, width]` each."""
    seen = torch.where(batch.observed, batch.values.double(), torch.nan)
    return seen.cpu().numpy(), means(heads, heads.shifted(outputs.double())).cpu().numpy()


def _draw_level(scores: Tensor) -> Tensor:
    safe = torch.where(torch.isfinite(scores).any(-1, keepdim=True), scores, 0.0)
    cumulative = torch.softmax(safe, -1).cumsum(-1)[..., :-1]
    u = torch.rand(*scores.shape[:-1], 1, dtype=torch.float64, device=scores.device)
    return (u > cumulative).sum(-1).double()


def _draw_column(heads: Heads, shifted: Tensor, queries: QueryBatch, j: int, kind: int) -> Tensor:
    if kind == POINT:
        value = torch.as_tensor(queries.a[:, j], device=shifted.device)
        cell = queries.schema.columns[j].cell
        if cell is not None:
            value = torch.as_tensor(cell.snap(queries.a[:, j]), device=shifted.device)
        return value[:, None].expand(shifted.shape[:2])
    if j in heads.counts:
        return _draw_count(_Counts(heads, shifted, j), queries, j, kind)
    if j in heads.binaries or j in heads.levels:
        return _draw_level(_level_scores(heads, shifted, queries, j, kind))
    real = _Real(heads, shifted, j)
    if kind == NOISY:
        return real.read(queries.a[:, j], queries.b[:, j])[1]
    lo, hi, member = real.intervals(queries, j, kind)
    x = real.within(lo, hi)
    if member is not None:
        return member.gather(1, _draw_level(real.log_between(lo, hi)).long())
    if real.cell is None:
        a, b = (torch.as_tensor(end[:, j, None], device=x.device) for end in (queries.a, queries.b))
        return torch.minimum(torch.maximum(x, a), b)
    return x


class _Real:
    """One real column, its law in encoded coordinates `[Q, J]`."""

    def __init__(self, heads: Heads, shifted: Tensor, j: int) -> None:
        c = heads.reals.index(j)
        self.encoder = heads.encoder.column(c)
        self.cell = heads.encoder.cells[c]
        self.laws = heads.law(shifted, [c])
        self.shape, self.device = shifted.shape[:2], shifted.device

    def encode(self, x: np.ndarray) -> Tensor:
        return self.encoder.encode(torch.as_tensor(x, device=self.device)[..., None])[..., 0]

    def decode(self, z: Tensor) -> Tensor:
        return self.encoder.decode(z[..., None])[..., 0]

    def intervals(self, queries: QueryBatch, j: int, kind: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """Encoded ends `[Q, m]` of what the evidence allows, and the allowed values `[Q, m]` of a set."""
        cell = self.cell
        if kind == RANGE:
            a, b = queries.a[:, j, None], queries.b[:, j, None]
            if cell is not None:
                a, b = cell.span(a, b)
            return self.encode(a), self.encode(b), None
        assert cell is not None
        members = queries.sets[j] if kind == SET else queries.a[:, j, None]
        below, above = cell.edges(np.where(np.isnan(members), 0.0, members))
        lo, hi = self.encode(below), self.encode(above)
        pad = torch.as_tensor(np.isnan(members), device=lo.device)
        values = torch.as_tensor(cell.snap(np.nan_to_num(members)), device=lo.device)
        return lo, torch.where(pad, lo, hi), values if kind == SET else None

    def log_between(self, lo: Tensor, hi: Tensor) -> Tensor:
        """log p(interval | particle), `[Q, J, m]`."""
        return self.laws.log_between(lo[:, None], hi[:, None])

    def within(self, lo: Tensor, hi: Tensor) -> Tensor:
        """Draws `[Q, J]` within the first interval, data units."""
        ends = (end[:, None, :1].expand(*self.shape, 1) for end in (lo, hi))
        return self.encoder.snap(self.encoder.decode(self.laws.draw_between(*ends)))[..., 0]

    def read(self, reading: np.ndarray, sd: np.ndarray) -> tuple[Tensor, Tensor]:
        """log E[N(reading; x, sd)] and draws of x given the reading, both `[Q, J]`."""
        ends = [end.expand(*self.shape, 1) for end in self.laws.reach()]
        found = [
            self._read_one(self.laws.of(q), ends[0][q], ends[1][q], float(reading[q]), float(sd[q]))
            for q in range(len(reading))
        ]
        return torch.stack([f[0] for f in found]), torch.stack([f[1] for f in found])

    def _read_one(self, law: Law, low: Tensor, high: Tensor, reading: float, sd: float) -> tuple[Tensor, Tensor]:
        cell = self.cell
        near = np.array([reading - _REACH * sd, reading + _REACH * sd])
        if cell is not None and 2 * _REACH * sd / cell.delta < _MOST_CELLS:
            first, last = cell.index(near).tolist()
            values = cell.value(np.arange(first - 1, last + 2))
            lo, hi = (self.encode(edge) for edge in cell.edges(values))
            at = torch.as_tensor(values, device=self.device)
            table = law.log_between(lo, hi)
            table = table + torch.distributions.Normal(at, sd).log_prob(torch.as_tensor(reading))
            return torch.logsumexp(table, -1), at[_draw_level(table).long()]
        lo, hi = self.encode(near)
        first, last = torch.maximum(low, lo), torch.minimum(high, hi)
        apart = last <= first  # the reading lies out of reach: what the law says, weighed by the reading
        first, last = torch.where(apart, low, first), torch.where(apart, high, last)
        step = (last - first) / _NODES
        z = first + step * (torch.arange(_NODES, device=self.device) + 0.5)
        table = law.log_prob(z) + torch.log(step)
        table = table + torch.distributions.Normal(self.decode(z), sd).log_prob(torch.as_tensor(reading))
        node = _draw_level(table) + torch.rand(len(table), dtype=torch.float64, device=self.device)
        x = self.decode(first[:, 0] + step[:, 0] * node)
        return torch.logsumexp(table, -1), self.encoder.snap(x[..., None])[..., 0]


class _Counts:
    """One count column: negative binomial with `mean [Q, J]` and one size, or Poisson."""

    def __init__(self, heads: Heads, shifted: Tensor, j: int) -> None:
        c = heads.counts.index(j)
        self.name = heads.schema.columns[j].name
        self.device = shifted.device
        log_mean = heads.log_means(shifted)[..., c].detach()  # chains steer by the other columns
        self.mean = log_mean.clamp(-30, 30).exp().cpu().numpy()
        self.size = None if heads.poisson else float(heads.log_size[c].detach().exp())
        self.law = stats.poisson(self.mean) if self.size is None else stats.nbinom(self.size, 1 - self._failing)

    @property
    def _failing(self) -> np.ndarray:
        assert self.size is not None
        return self.mean / (self.size + self.mean)

    def log_pmf(self, n: np.ndarray) -> np.ndarray:
        """`[Q, J, m]` of values `[Q, m]`; NaN values have probability zero."""
        at = np.nan_to_num(n)[:, None]
        if self.size is None:
            out = special.xlogy(at, self.mean[..., None]) - self.mean[..., None] - special.gammaln(at + 1)
            return np.where(np.isnan(n)[:, None], -np.inf, out)
        r, p = self.size, self._failing[..., None]
        out = special.gammaln(at + r) - special.gammaln(r) - special.gammaln(at + 1) + r * np.log1p(-p)
        return np.where(np.isnan(n)[:, None], -np.inf, out + special.xlogy(at, p))

    def candidates(self, queries: QueryBatch, j: int, kind: int) -> tuple[np.ndarray, np.ndarray]:
        """Values `[Q, m]` that a set or a noisy reading leaves, and their log-likelihoods."""
        if kind == SET:
            return queries.sets[j], np.zeros_like(queries.sets[j])
        a, b = queries.a[:, j], queries.b[:, j]
        first = np.maximum(np.floor(a - _REACH * b), 0.0)
        width = int(np.maximum(np.ceil(a + _REACH * b) - first, 0.0).max()) + 1
        if width > _MOST_COUNTS:
            raise UsageError(
                f"variable {self.name!r}: a noisy reading of a count is summed over at most {_MOST_COUNTS} values, "
                f"not {width}; give a smaller sd, or make it a real of cell(1)"
            )
        n = first[:, None] + np.arange(width)
        return n, stats.norm.logpdf(a[:, None], n, b[:, None])


def _count_mass(counts: _Counts, queries: QueryBatch, j: int, kind: int) -> Tensor:
    if kind == POINT:
        out = counts.log_pmf(queries.a[:, j, None])[..., 0]
    elif kind == RANGE:
        low, high = np.ceil(queries.a[:, j, None]), np.floor(queries.b[:, j, None])
        below, above = counts.law.cdf(low - 1), counts.law.sf(low - 1)
        mass = np.where(below > 0.5, above - counts.law.sf(high), counts.law.cdf(high) - below)
        with np.errstate(divide="ignore"):
            out = np.log(np.maximum(mass, 0.0))
    else:
        n, likelihood = counts.candidates(queries, j, kind)
        out = special.logsumexp(counts.log_pmf(n) + likelihood[:, None], axis=-1)
    return torch.as_tensor(out, device=counts.device)


def _draw_count(counts: _Counts, queries: QueryBatch, j: int, kind: int) -> Tensor:
    if kind != RANGE:
        n, likelihood = counts.candidates(queries, j, kind)
        scores = torch.as_tensor(counts.log_pmf(n) + likelihood[:, None])
        chosen = torch.as_tensor(np.nan_to_num(n)).gather(1, _draw_level(scores).long())
        return chosen.to(counts.device)
    low, high = np.ceil(queries.a[:, j, None]), np.floor(queries.b[:, j, None])
    low = np.maximum(low, 0.0)
    u = torch.rand(counts.mean.shape, dtype=torch.float64).numpy()
    below, above = counts.law.cdf(low - 1), counts.law.sf(low - 1)
    left = counts.law.ppf(np.clip(below + u * (counts.law.cdf(high) - below), 0.0, 1.0))
    right = counts.law.isf(np.clip(above - u * (above - counts.law.sf(high)), 0.0, 1.0))
    n = np.clip(np.where(below > 0.5, right, left), low, high)
    return torch.as_tensor(np.where(np.isfinite(n), n, low), device=counts.device)
