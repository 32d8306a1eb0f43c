"""Bins: every column as finitely many levels, each with a law of its own within, under evidence of every kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from genprob.data.schema import Schema, Variable
from genprob.data.support import Interval, Positive
from genprob.nets.normal import draw_between, log_between
from genprob.query.batch import LIKELIHOOD, NOISY, NOTHING, POINT, RANGE, SET, QueryBatch

_SLACK = 1e-9
_SMOOTH = 64.0
"""Steps of a grid above which the standard deviation of a reading makes the grid as good as continuous."""
_REACH = 8.0


class Bins:
    """Levels of the columns of a schema: values of binaries and categories, intervals of numbers between quantiles.

    Numbers are placed by a position: a true real by its value, a count and a cell by its integer index, which stands
    for the unit interval around it. Within a bin positions are uniform; a bin that runs to infinity is exponential
    with the training rows' mean excess. A value of a grid therefore has a probability and a true real a density.

    Attributes:
        sizes: number of levels of each flat column; `starts` where they begin among all `total` levels.
        segment: `[total]` the column of each level.
    """

    def __init__(self, schema: Schema, inner: dict[int, list[float]], rates: dict[int, list[float]]) -> None:
        self.schema = schema
        self.edges: dict[int, Tensor] = {}
        self.rates: dict[int, tuple[float, float]] = {}
        for j, ends in inner.items():
            lo, hi = _bounds(schema.columns[j])
            self.edges[j] = torch.tensor([lo, *ends, hi], dtype=torch.float64)
            self.rates[j] = (rates[j][0], rates[j][1])
        self.sizes = [v.cardinality or len(self.edges[j]) - 1 for j, v in enumerate(schema.columns)]
        self.starts = np.concatenate([[0], np.cumsum(self.sizes)]).astype(int).tolist()
        self.total = self.starts[-1]
        self.segment = torch.repeat_interleave(torch.arange(len(self.sizes)), torch.tensor(self.sizes))
        self.first = torch.tensor(self.starts[:-1])
        self.labels = [j for j, v in enumerate(schema.columns) if v.cardinality is not None]
        self.numbers = sorted(self.edges)

    @classmethod
    def of(cls, schema: Schema, values: np.ndarray, observed: np.ndarray, most: int) -> Bins:
        """Bins between quantiles of the observed `values [rows, width]`, about `most` to a number.

        Values of a grid that many rows share, or all where they are few, are bins of their own.
        """
        inner, rates = {}, {}
        for j, variable in enumerate(schema.columns):
            if variable.cardinality is None:
                x = _position(variable, values[observed[:, j], j])
                inner[j] = _inner(variable, x, most)
                rates[j] = _rates(x, inner[j])
        return cls(schema, inner, rates)

    def structure(self) -> dict[str, Any]:
        """Inner edges and rates as JSON."""
        return {
            "inner": {str(j): edges[1:-1].tolist() for j, edges in self.edges.items()},
            "rates": {str(j): list(rates) for j, rates in self.rates.items()},
        }

    @classmethod
    def built(cls, schema: Schema, structure: dict[str, Any]) -> Bins:
        """What `structure` was taken of."""
        inner, rates = ({int(j): list(v) for j, v in structure[name].items()} for name in ("inner", "rates"))
        return cls(schema, inner, rates)

    # --- rows

    def encode(self, values: Tensor) -> Tensor:
        """Levels `[..., width]` int64 of values in data units."""
        out = values.nan_to_num().long()
        for j in self.numbers:
            edges = self.edges[j].to(values.device)
            out[..., j] = torch.bucketize(self.position(values[..., j].contiguous(), j), edges[1:-1], right=True)
        return out

    def log_within(self, values: Tensor) -> Tensor:
        """log p(value | its level), `[..., width]`: a density of true reals, a probability elsewhere."""
        out = torch.zeros(values.shape, dtype=torch.float64, device=values.device)
        for j in self.numbers:
            position = self.position(values[..., j].double(), j)
            out[..., j] = self.log_point(position, j).amax(-1)
        if self.labels:
            most = torch.tensor([self.sizes[j] for j in self.labels], device=values.device)
            out[..., self.labels] = torch.where(values[..., self.labels] < most, 0.0, -torch.inf).double()
        return out

    def position(self, x: Tensor, j: int) -> Tensor:
        """Positions of values of a number: its own, or its integer index on a grid."""
        variable = self.schema.columns[j]
        cell = variable.cell
        if cell is not None:
            return torch.round((x - cell.offset) / cell.delta)
        return x

    def _grid(self, j: int) -> bool:
        return self.schema.columns[j].is_count or self.schema.columns[j].cell is not None

    # --- the law within a level

    def _log_between(self, a: Tensor, b: Tensor, j: int) -> Tensor:
        """log P(a <= position <= b | level), `[..., levels]`; -inf where they do not meet."""
        edges, (down, up) = self.edges[j].to(a.device), self.rates[j]
        lo, hi = edges[:-1], edges[1:]
        a, b = torch.maximum(a[..., None], lo), torch.minimum(b[..., None], hi)
        empty = b <= a
        wide = torch.where(torch.isfinite(hi - lo), hi - lo, 1.0)
        out = torch.log(torch.where(empty, 1.0, b - a)) - torch.log(wide)
        for at, tail, rate in ((0, lo[0] == -torch.inf, down), (-1, hi[-1] == torch.inf, up)):
            if tail:
                near = hi[0] - b[..., 0] if at == 0 else a[..., -1] - lo[-1]
                far = hi[0] - a[..., 0] if at == 0 else b[..., -1] - lo[-1]
                gap = torch.where(empty[..., at], 1.0, far - near)
                out[..., at] = -rate * near + torch.log(-torch.expm1(-rate * gap))
        return torch.where(empty, -torch.inf, out)

    def log_point(self, position: Tensor, j: int) -> Tensor:
        """log p(position | level), `[..., levels]`."""
        if self._grid(j):
            return self._log_between(position - 0.5, position + 0.5, j)
        edges, (down, up) = self.edges[j].to(position.device), self.rates[j]
        lo, hi = edges[:-1], edges[1:]
        level = torch.bucketize(position.contiguous(), edges[1:-1], right=True)
        density = -torch.log(torch.where(torch.isfinite(hi - lo), hi - lo, 1.0))
        out = density.expand(*position.shape, -1).clone()
        if lo[0] == -torch.inf:
            out[..., 0] = np.log(down) - down * (hi[0] - position)
        if hi[-1] == torch.inf:
            out[..., -1] = np.log(up) - up * (position - lo[-1])
        inside = (position >= edges[0]) & (position <= edges[-1])
        own = torch.arange(len(lo), device=position.device) == level[..., None]
        return torch.where(own & inside[..., None], out, -torch.inf)

    # --- evidence

    def log_likelihood(self, queries: QueryBatch, device: torch.device | str = "cpu") -> Tensor:
        """log p(evidence on a column | level of it), `[Q, total]`; 0 where nothing is known."""
        out = np.zeros((len(queries), self.total))
        for j in self.labels:
            kind, part = queries.kind[:, j], out[:, self.starts[j] : self.starts[j + 1]]
            told = np.isin(kind, (SET, LIKELIHOOD))
            if told.any():
                with np.errstate(divide="ignore"):
                    part[told] = np.log(queries.likelihoods[j][told].astype(np.float64))
            point = np.flatnonzero(kind == POINT)
            if len(point):
                part[point] = -np.inf
                part[point, queries.a[point, j].astype(int)] = 0.0
        for j in self.numbers:
            if (queries.kind[:, j] != NOTHING).any():
                out[:, self.starts[j] : self.starts[j + 1]] = self.told(queries, j).numpy()
        return torch.as_tensor(out, device=device)

    def told(self, queries: QueryBatch, j: int) -> Tensor:
        """The same of one number, `[Q, levels]`."""
        out = torch.zeros(len(queries), self.sizes[j], dtype=torch.float64)
        for kind in np.unique(queries.kind[:, j]).tolist():
            if kind != NOTHING:
                rows = np.flatnonzero(queries.kind[:, j] == kind)
                out[rows] = self._told(queries.take(rows), j, kind)
        return out

    def _told(self, queries: QueryBatch, j: int, kind: int) -> Tensor:
        a = torch.as_tensor(queries.a[:, j])
        if kind == POINT:
            return self.log_point(self.position(a, j), j)
        if kind == NOISY and not self._few(queries, j):
            return self._read(*self._reading(queries, j), j)[0]
        lo, hi, weight = self._pieces(queries, j, kind)
        return torch.logsumexp(self._log_between(lo, hi, j) + weight[..., None], 1)

    def _few(self, queries: QueryBatch, j: int) -> bool:
        """True where a noisy reading of a grid is summed value by value."""
        cell = self.schema.columns[j].cell
        step = 1.0 if cell is None else cell.delta
        return self._grid(j) and bool((queries.b[:, j] < _SMOOTH * step).all())

    def _pieces(self, queries: QueryBatch, j: int, kind: int) -> tuple[Tensor, Tensor, Tensor]:
        """Intervals of the position `[Q, m]` that evidence leaves, and their log-likelihoods."""
        cell, a, b = self.schema.columns[j].cell, queries.a[:, j], queries.b[:, j]
        delta, offset = (1.0, 0.0) if cell is None else (cell.delta, cell.offset)
        if kind == RANGE:
            if self._grid(j):
                a = np.ceil((a - offset) / delta - _SLACK) - 0.5
                b = np.floor((b - offset) / delta + _SLACK) + 0.5
            lo, hi = torch.as_tensor(a)[:, None], torch.as_tensor(b)[:, None]
            return lo, hi, torch.zeros_like(lo)
        if kind == SET:
            at = torch.as_tensor(np.rint((queries.sets[j] - offset) / delta))
            weight = torch.where(torch.isnan(at), -torch.inf, 0.0)
            at = at.nan_to_num()
            return at - 0.5, at + 0.5, weight
        first = np.floor((a - _REACH * b - offset) / delta)
        count = int((np.ceil((a + _REACH * b - offset) / delta) - first).max()) + 1
        at = first[:, None] + np.arange(count)
        z = (a[:, None] - (offset + delta * at)) / b[:, None]
        weight = -0.5 * z**2 - np.log(b[:, None]) - 0.5 * np.log(2 * np.pi)
        at = torch.as_tensor(at)
        return at - 0.5, at + 0.5, torch.as_tensor(weight)

    def _reading(self, queries: QueryBatch, j: int) -> tuple[Tensor, Tensor, float]:
        """A noisy reading and its standard deviation in positions, and the log of the unit."""
        cell = self.schema.columns[j].cell
        delta, offset = (1.0, 0.0) if cell is None else (cell.delta, cell.offset)
        reading, sd = torch.as_tensor(queries.a[:, j]), torch.as_tensor(queries.b[:, j])
        return (reading - offset) / delta, sd / delta, float(np.log(delta))

    def _read(self, reading: Tensor, sd: Tensor, log_unit: float, j: int) -> tuple[Tensor, Tensor]:
        """log E[N(reading; position, sd) | level] and the normal mean to draw from within it, `[Q, levels]` each.

        A uniform or exponential law times a normal one is a normal law cut off at the bin's edges.
        """
        edges, (down, up) = self.edges[j], self.rates[j]
        lo, hi = edges[:-1], edges[1:]
        r, s = reading[:, None], sd[:, None]
        tilt, log_scale = torch.zeros(len(lo), dtype=torch.float64), torch.log(torch.where(
            torch.isfinite(hi - lo), 1 / (hi - lo), 1.0))  # fmt: skip
        anchor = torch.zeros_like(tilt)
        if lo[0] == -torch.inf:
            tilt[0], log_scale[0], anchor[0] = down, np.log(down), hi[0]
        if hi[-1] == torch.inf:
            tilt[-1], log_scale[-1], anchor[-1] = -up, np.log(up), lo[-1]
        mean = r + tilt * s**2
        mass = log_between((lo - mean) / s, (hi - mean) / s)
        return log_scale + tilt * (r - anchor) + 0.5 * (tilt * s) ** 2 + mass - log_unit, mean

    # --- draws

    def draw(self, levels: Tensor, queries: QueryBatch) -> np.ndarray:
        """Values `[Q, n, width]` within `levels [Q, n, width]` given the evidence, data units."""
        levels = levels.cpu()
        out = levels.double().numpy()
        for j in self.numbers:
            out[..., j] = self.draw_column(levels[..., j], queries, j).numpy()
        return out

    def draw_column(self, level: Tensor, queries: QueryBatch, j: int) -> Tensor:
        """The same of one number, `[Q, n]`."""
        out = torch.empty(level.shape, dtype=torch.float64)
        for kind in np.unique(queries.kind[:, j]).tolist():
            rows = np.flatnonzero(queries.kind[:, j] == kind)
            out[rows] = self._draw(level[rows], queries.take(rows), j, kind)
        return out

    def _draw(self, level: Tensor, queries: QueryBatch, j: int, kind: int) -> Tensor:
        variable = self.schema.columns[j]
        if kind == POINT:
            value = queries.a[:, j] if variable.cell is None else variable.cell.snap(queries.a[:, j])
            return torch.as_tensor(value)[:, None].expand(level.shape)
        if kind == NOISY and not self._few(queries, j):
            reading, sd, unit = self._reading(queries, j)
            mean, s = self._read(reading, sd, unit, j)[1].gather(1, level), sd[:, None]
            lo, hi = self.edges[j][:-1][level], self.edges[j][1:][level]
            position = mean + s * draw_between((lo - mean) / s, (hi - mean) / s)
        else:
            if kind == NOTHING:
                lo = torch.full((len(level), 1), -torch.inf, dtype=torch.float64)
                hi, weight = -lo, torch.zeros_like(lo)
            else:
                lo, hi, weight = self._pieces(queries, j, kind)
            piece = torch.zeros_like(level)
            if lo.shape[1] > 1:
                scores = (self._log_between(lo, hi, j) + weight[..., None]).transpose(1, 2)
                scores = scores.gather(1, level[..., None].expand(-1, -1, scores.shape[-1]))
                piece = _choose(scores)
            position = self._between(lo.gather(1, piece), hi.gather(1, piece), level, j)
        if not self._grid(j):
            return self._inside(position, variable)
        lo, hi = self.edges[j][:-1][level], self.edges[j][1:][level]
        index = torch.minimum(torch.maximum(torch.round(position), lo + 0.5), hi - 0.5)
        return index if variable.cell is None else torch.as_tensor(variable.cell.value(index.numpy()))

    def _between(self, a: Tensor, b: Tensor, level: Tensor, j: int) -> Tensor:
        """Positions drawn within `[a, b]` and within the level, by inverting its distribution function."""
        (down, up), u = self.rates[j], torch.rand(level.shape, dtype=torch.float64)
        lo, hi = self.edges[j][:-1][level], self.edges[j][1:][level]
        a, b = torch.maximum(a, lo), torch.minimum(b, hi)
        out = torch.where(torch.isfinite(hi - lo), a + u * (b - a), 0.0)
        near, far = hi - b, hi - a
        out = torch.where(lo == -torch.inf, hi - _exponential(near, far, down, u), out)
        near, far = a - lo, b - lo
        return torch.where(hi == torch.inf, lo + _exponential(near, far, up, u), out)

    # --- moments

    def moments(self, j: int) -> tuple[Tensor, Tensor]:
        """Mean and variance of a number within each of its levels, `[levels]`, data units."""
        edges, rates, grid = self.edges[j], self.rates[j], self._grid(j)
        lo, hi = edges[:-1], edges[1:]
        mean, variance = (lo + hi) / 2, ((hi - lo).square() - float(grid)) / 12
        for at, tail, anchor, sign in ((0, lo[0] == -torch.inf, hi[0], -1), (-1, hi[-1] == torch.inf, lo[-1], 1)):
            if tail:
                rate = rates[at]
                excess = 0.5 + 1 / np.expm1(rate) if grid else 1 / rate
                mean[at] = anchor + sign * excess
                variance[at] = np.exp(rate) / np.expm1(rate) ** 2 if grid else 1 / rate**2
        cell = self.schema.columns[j].cell
        return (mean, variance) if cell is None else (cell.offset + cell.delta * mean, cell.delta**2 * variance)

    def quantiles(self, p: Tensor, at: np.ndarray, j: int) -> np.ndarray:
        """Quantiles `[Q, len(at)]` of a number whose levels have probabilities `p [Q, levels]`, data units."""
        edges, (down, up) = self.edges[j], self.rates[j]
        above = p.cumsum(1)
        level = (above[:, None] < torch.as_tensor(at)[:, None] * above[:, None, -1:]).sum(-1).clamp(max=p.shape[1] - 1)
        mass = p.gather(1, level).clamp(min=1e-300)
        share = ((torch.as_tensor(at) - (above.gather(1, level) - mass)) / mass).clamp(1e-12, 1 - 1e-12)
        lo, hi = edges[:-1][level], edges[1:][level]
        out = torch.where(torch.isfinite(hi - lo), lo + share * (hi - lo), 0.0)
        out = torch.where(lo == -torch.inf, hi + torch.log(share) / down, out)
        out = torch.where(hi == torch.inf, lo - torch.log1p(-share) / up, out)
        cell = self.schema.columns[j].cell
        if self._grid(j):
            out = torch.ceil(out - 0.5)
        return out.numpy() if cell is None else cell.value(out.numpy())

    def _inside(self, x: Tensor, variable: Variable) -> Tensor:
        lo, hi = _bounds(variable)
        tiny = np.finfo(np.float64).tiny
        least, most = max(np.nextafter(lo, np.inf), tiny) if lo == 0 else np.nextafter(lo, np.inf), np.nextafter(hi, lo)
        return x.clamp(float(least), float(most)) if np.isfinite(lo) or np.isfinite(hi) else x


def _exponential(near: Tensor, far: Tensor, rate: float, u: Tensor) -> Tensor:
    """Distances drawn from an exponential law between `near` and `far`."""
    near = torch.where(torch.isfinite(near), near, 0.0)
    return near - torch.log1p(u * torch.expm1(-rate * (far - near))) / rate


def _choose(scores: Tensor) -> Tensor:
    """An index for each row of `[..., m]` log-weights."""
    safe = torch.where(torch.isfinite(scores).any(-1, keepdim=True), scores, 0.0)
    cumulative = torch.softmax(safe, -1).cumsum(-1)[..., :-1]
    u = torch.rand(*scores.shape[:-1], 1, dtype=torch.float64)
    return (u > cumulative).sum(-1)


def _bounds(variable: Variable) -> tuple[float, float]:
    """The ends of the support as positions."""
    support, cell = variable.support, variable.cell
    if variable.is_count:
        return -0.5, np.inf
    lo, hi = -np.inf, np.inf
    if isinstance(support, Positive):
        lo = 0.0
    elif isinstance(support, Interval):
        lo, hi = support.lo, support.hi
    if cell is not None:  # the outermost cells whose value lies in the support
        lo = np.floor((lo - cell.offset) / cell.delta + _SLACK) + 0.5
        hi = np.ceil((hi - cell.offset) / cell.delta - _SLACK) - 0.5
    return float(lo), float(hi)


def _position(variable: Variable, x: np.ndarray) -> np.ndarray:
    return x if variable.cell is None else variable.cell.index(x)


def _inner(variable: Variable, x: np.ndarray, most: int) -> list[float]:
    """Edges between the bins of positions `x`."""
    lo, hi = _bounds(variable)
    grid = variable.is_count or variable.cell is not None
    if not len(x):
        x = np.zeros(1) if lo < 0 < hi else np.array([lo + 1.0 if not np.isfinite(hi) else (lo + hi) / 2])
    values, counts = np.unique(x, return_counts=True)
    if len(values) == 1:  # a constant: a bin around it
        half = 0.5 if grid else max(1e-3 * abs(values[0]), 1e-3)
        edges = np.array([values[0] - half, values[0] + half])
    elif not grid:
        edges = np.quantile(x, np.arange(1, most) / most)
        edges = np.unique(edges[(edges > values[0]) & (edges < values[-1])])
        if not len(edges):
            edges = np.array([(values[0] + values[-1]) / 2])
    else:
        shared = values if len(values) <= most else values[counts >= 2 * len(x) / most]
        edges = np.concatenate([shared - 0.5, shared + 0.5])
        if len(values) > most:
            spread = np.quantile(x, np.arange(1, most) / most, method="lower") - 0.5
            edges = np.concatenate([edges, spread])
        edges = np.unique(edges)
    return edges[(edges > lo) & (edges < hi)].tolist()


def _rates(x: np.ndarray, inner: list[float]) -> list[float]:
    """Rates of the exponential tails below the first and above the last inner edge."""
    if not inner:
        return [1.0, 1.0]
    width = max(inner[-1] - inner[0], 1e-3 * max(abs(inner[0]), 1e-6))
    out = []
    for excess in (inner[0] - x[x < inner[0]], x[x >= inner[-1]] - inner[-1]):
        mean = float(excess.mean()) if len(excess) else 0.1 * width
        out.append(1 / max(mean, 1e-3 * width / max(1, len(inner))))
    return out
