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
from genprob.query.levels import draw_level, level_scores, levelled
from genprob.query.weighted import marginals
from genprob.results.record import Marginal

_REACH = 8.0
"""Standard deviations beyond which a normal law is cut off by quadrature."""
_NODES = 128
_MOST_CELLS = 256
"""With more cells than that under a noisy reading it is read as if the variable were not rounded."""
_MOST_COUNTS = 20_000
_AVERAGED = 4
"""Draws per particle that the marginal of a number rests on."""
_MANY = 16
"""Numbers of an array beyond which one draw per particle has to do."""


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
        schema, log_weight = self.queries.schema, self.log_weight.cpu().numpy()
        found = {
            n: levelled(self.heads, self.shifted, self.log_weight, self.queries, n)
            for n in targets
            if schema[n].cardinality is not None
        }
        rest = [n for n in targets if n not in found]
        if rest:
            index = torch.arange(log_weight.shape[1], device=self.log_weight.device).expand_as(self.log_weight)
            draws = _AVERAGED if max(schema[n].size for n in rest) <= _MANY else 1
            values = np.stack([self.draw(index) for _ in range(draws)], 2)  # [Q, J, draw, width]
            found |= marginals(schema, values, log_weight, tuple(rest))
        return {name: found[name] for name in targets}


# --- the probability of evidence


class Mass:
    """log p(evidence | particle) of some queries: what does not depend on the particles is made once.

    Arguments:
        heads: the laws.
        queries: the evidence.
    """

    def __init__(self, heads: Heads, queries: QueryBatch) -> None:
        self.heads, device = heads, heads.offset.device
        point = queries.kind == POINT
        known = torch.as_tensor(point, device=device)
        value = torch.as_tensor(np.nan_to_num(queries.a), device=device)
        self._reals: list[tuple[list[int], Tensor, Tensor, Tensor]] = []
        x = torch.where(known[:, heads.reals], value[:, heads.reals], heads.centre())
        encoder = heads.encoder
        for group in heads.groups:
            asked = point[:, [heads.reals[c] for c in group]].any(0).tolist()
            columns = [c for c, any_known in zip(group, asked, strict=True) if any_known]
            if columns:
                cells = encoder.cells[group[0]] is not None
                ends = encoder.edges(x) if cells else (encoder.encode(x), encoder.log_jacobian(x))
                first, second = (end[:, None, columns] for end in ends)
                self._reals.append((columns, known[:, [heads.reals[c] for c in columns]][:, None], first, second))
        self._binaries = np.flatnonzero(point[:, heads.binaries].any(0)).tolist()
        self._weight = known[:, heads.binaries][:, self._binaries].double()
        self._ones = value[:, heads.binaries][:, self._binaries] * self._weight
        at_once = np.zeros(point.shape[1], dtype=bool)
        at_once[[*heads.reals, *heads.binaries]] = True
        rest = np.where(point & at_once, NOTHING, queries.kind)
        self._rest = [
            (j, kind, rows, queries.take(rows))
            for j in np.flatnonzero((rest != NOTHING).any(0)).tolist()
            for kind in np.unique(rest[:, j]).tolist()
            if kind != NOTHING
            for rows in (np.flatnonzero(rest[:, j] == kind),)
        ]

    def __call__(self, shifted: Tensor) -> Tensor:
        """Of particles `shifted [Q, J, heads.width]`, `[Q, J]`: densities for points on true reals, else probabilities
        or likelihoods.
        """
        heads, out = self.heads, torch.zeros(shifted.shape[:2], dtype=torch.float64, device=shifted.device)
        for columns, known, first, second in self._reals:
            law = heads.law(shifted, columns)
            if heads.encoder.cells[columns[0]] is not None:
                part = law.log_between(first, second)
            else:
                part = law.log_prob(first) + second
            out += torch.where(known, part, 0.0).sum(-1)
        if self._binaries:
            logits = heads.logits(shifted)[..., self._binaries]
            out += torch.einsum("qjc,qc->qj", logits, self._ones.to(logits.dtype))
            out -= torch.einsum("qjc,qc->qj", torch.nn.functional.softplus(logits), self._weight.to(logits.dtype))
        for j, kind, rows, queries in self._rest:
            out[rows] += _column_mass(heads, shifted[rows], queries, j, kind)
        return out


def log_mass(heads: Heads, shifted: Tensor, queries: QueryBatch) -> Tensor:
    """log p(evidence | particle) of particles `shifted [Q, J, heads.width]`, `[Q, J]`; see `Mass`."""
    return Mass(heads, queries)(shifted)


def _column_mass(heads: Heads, shifted: Tensor, queries: QueryBatch, j: int, kind: int) -> Tensor:
    """The same of one column, where every query has evidence of one kind."""
    if j in heads.counts:
        return _count_mass(_Counts(heads, shifted, j), queries, j, kind)
    if j in heads.binaries or j in heads.levels:
        return torch.logsumexp(level_scores(heads, shifted, queries, j, kind), -1)
    real = _Real(heads, shifted, j)
    if kind == NOISY:
        return real.read(queries.a[:, j], queries.b[:, j])[0]
    lo, hi, _ = real.intervals(queries, j, kind)
    return torch.logsumexp(real.log_between(lo, hi), -1)


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
        out[..., j] = draw_level(level_scores(heads, shifted, None, j, NOTHING))
    points = queries.kind == POINT
    for j in np.flatnonzero(((queries.kind != NOTHING) & ~points).any(0)).tolist():
        for kind in np.unique(queries.kind[:, j]).tolist():
            if kind not in (NOTHING, POINT):
                rows = np.flatnonzero(queries.kind[:, j] == kind)
                out[rows, :, j] = _draw_column(heads, shifted[rows], queries.take(rows), j, kind)
    drawn = out.cpu().numpy()
    return np.where(points[:, None], _given(queries)[:, None], drawn) if points.any() else drawn


def _given(queries: QueryBatch) -> np.ndarray:
    """The values that are told, `[Q, width]`, those of cells as the table has them."""
    out = queries.a.copy()
    for j in np.flatnonzero((queries.kind == POINT).any(0)).tolist():
        cell = queries.schema.columns[j].cell
        if cell is not None:
            out[:, j] = cell.snap(np.nan_to_num(out[:, j]))
    return out


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


def _draw_column(heads: Heads, shifted: Tensor, queries: QueryBatch, j: int, kind: int) -> Tensor:
    if j in heads.counts:
        return _draw_count(_Counts(heads, shifted, j), queries, j, kind)
    if j in heads.binaries or j in heads.levels:
        return draw_level(level_scores(heads, shifted, queries, j, kind))
    real = _Real(heads, shifted, j)
    if kind == NOISY:
        return real.read(queries.a[:, j], queries.b[:, j])[1]
    lo, hi, member = real.intervals(queries, j, kind)
    x = real.within(lo, hi)
    if member is not None:
        return member.gather(1, draw_level(real.log_between(lo, hi)).long())
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
            return torch.logsumexp(table, -1), at[draw_level(table).long()]
        lo, hi = self.encode(near)
        first, last = torch.maximum(low, lo), torch.minimum(high, hi)
        apart = last <= first  # the reading lies out of reach: what the law says, weighed by the reading
        first, last = torch.where(apart, low, first), torch.where(apart, high, last)
        step = (last - first) / _NODES
        z = first + step * (torch.arange(_NODES, device=self.device) + 0.5)
        table = law.log_prob(z) + torch.log(step)
        table = table + torch.distributions.Normal(self.decode(z), sd).log_prob(torch.as_tensor(reading))
        node = draw_level(table) + torch.rand(len(table), dtype=torch.float64, device=self.device)
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
        chosen = torch.as_tensor(np.nan_to_num(n)).gather(1, draw_level(scores).long())
        return chosen.to(counts.device)
    low, high = np.ceil(queries.a[:, j, None]), np.floor(queries.b[:, j, None])
    low = np.maximum(low, 0.0)
    u = torch.rand(counts.mean.shape, dtype=torch.float64).numpy()
    below, above = counts.law.cdf(low - 1), counts.law.sf(low - 1)
    left = counts.law.ppf(np.clip(below + u * (counts.law.cdf(high) - below), 0.0, 1.0))
    right = counts.law.isf(np.clip(above - u * (above - counts.law.sf(high)), 0.0, 1.0))
    n = np.clip(np.where(below > 0.5, right, left), low, high)
    return torch.as_tensor(np.where(np.isfinite(n), n, low), device=counts.device)
