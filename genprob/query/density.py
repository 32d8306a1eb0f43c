"""A joint density on its way from a broad law: what evidence leaves unknown, in coordinates without bounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyro
import torch
from torch import Tensor

from genprob.data.schema import Variable
from genprob.data.support import Interval, Positive
from genprob.query.batch import NOISY, POINT, RANGE, SET, QueryBatch
from genprob.query.capabilities import JointDensity
from genprob.query.states import listed, sizes

LISTED = 64
"""Cells that evidence leaves at most so many values of are moved by index, the others as rounded reals."""
_FREEDOM = 5.0
"""Degrees of freedom of the base: its tails are heavier than a normal law's."""
_WIDER = 1.3
_SEEN = 30
"""Rows of the data within an interval that are enough to say where in it the mass is."""


@dataclass(frozen=True, eq=False)
class Coordinate:
    """One column without bounds: x = lo + (hi - lo) s(z), lo + exp(z), hi - exp(z) or z, whichever ends are finite.

    A rounded column (cells, counts) is a real that is uniform within its cell of width `delta`.

    Attributes:
        column: of the schema.
        lo, hi: `[Q, 1]`.
        delta: width of a cell, 0 for true reals.
        offset: a value of the grid.
        loc, scale: `[Q, 1]` of the base, a Student-t law in z.
    """

    column: int
    lo: Tensor
    hi: Tensor
    delta: float
    offset: float
    loc: Tensor
    scale: Tensor

    def decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Data units, and log |dx / dz| (a rounded column's less the log of its cell's width)."""
        left, right = torch.isfinite(self.lo), torch.isfinite(self.hi)
        lo, hi = torch.where(left, self.lo, 0.0), torch.where(right, self.hi, 1.0)
        both, grown = left & right, torch.exp(z.clamp(max=300.0))
        wide = torch.where(both, hi - lo, 1.0)
        share = torch.sigmoid(z)
        x = torch.where(both, lo + wide * share, torch.where(left, lo + grown, torch.where(right, hi - grown, z)))
        inner = torch.log(wide) + torch.nn.functional.logsigmoid(z) + torch.nn.functional.logsigmoid(-z)
        slope = torch.where(both, inner, torch.where(left | right, z, 0.0))
        if self.delta:
            first, last = self.lo + self.delta / 2, self.hi - self.delta / 2
            x = self.offset + torch.round((x - self.offset) / self.delta) * self.delta
            return torch.minimum(torch.maximum(x, first), last), slope - np.log(self.delta)
        # Far out a coordinate rounds to the end of its interval, where a density may not be defined.
        inside = torch.nextafter(self.lo, self.hi), torch.nextafter(self.hi, self.lo)
        return torch.minimum(torch.maximum(x, inside[0]), inside[1]), slope

    def log_base(self, z: Tensor) -> Tensor:
        return torch.distributions.StudentT(_FREEDOM, self.loc, self.scale, validate_args=False).log_prob(z)


class DensityPath:
    """Queries that know the same cells in the same way, from independent Student-t and uniform laws to the joint.

    Points hold, for each unknown column in turn, a coordinate without bounds or the index of a listed value.
    Intervals bound a coordinate; readings and likelihoods multiply the density.

    Arguments:
        model: the density.
        queries: alike in `kind` and in which cells are listed, of at least one unknown cell.
        reference: rows `[n, width]` that say where mass may be, NaN where unknown.
    """

    def __init__(self, model: JointDensity, queries: QueryBatch, reference: np.ndarray, device: torch.device) -> None:
        self.model, self.queries, self.device = model, queries, device
        unknown = np.flatnonzero(queries.kind[0] != POINT)
        left = sizes(queries).max(0)
        columns = queries.schema.columns
        self.chosen = [
            int(j) for j in unknown if left[j] <= LISTED or columns[j].cardinality or queries.kind[0, j] == SET
        ]
        self.moving = [
            _coordinate(queries, int(j), reference[:, j], device) for j in unknown if int(j) not in self.chosen
        ]
        lists = [listed(queries, j) for j in self.chosen]
        tables = [(_packed(values, log), log) for values, log in lists]
        self._values = [torch.as_tensor(v, device=device) for (v, _), _ in tables]
        self._told = [torch.as_tensor(t, device=device) for (_, t), _ in tables]
        counts = [np.isfinite(t).sum(1) for (_, t), _ in tables]
        self.size = torch.as_tensor(np.stack(counts, 1), device=device).clamp(min=1) if counts else None
        snapped = queries.a.copy()
        for j, variable in enumerate(columns):
            if variable.cell is not None:
                known = queries.kind[:, j] == POINT
                snapped[known, j] = variable.cell.snap(snapped[known, j])
        self._known = torch.as_tensor(np.nan_to_num(snapped), device=device)

    @property
    def continuous(self) -> tuple[int, ...]:
        return tuple(range(len(self.moving)))

    @property
    def listed(self) -> tuple[int, ...]:
        return tuple(range(len(self.moving), len(self.moving) + len(self.chosen)))

    def start(self, particles: int) -> Tensor:
        shape = (len(self.queries), particles)
        parts = []
        for coordinate in self.moving:
            # A t variable from torch's global numbers: normal over the root of a chi-squared.
            noise = torch.randn(*shape, dtype=torch.float64, device=self.device)
            half = torch.full(shape, _FREEDOM / 2, dtype=torch.float64, device=self.device)
            spread = torch.sqrt(torch._standard_gamma(half) / (_FREEDOM / 2))
            parts.append(coordinate.loc + coordinate.scale * noise / spread)
        for c in range(len(self.chosen)):
            assert self.size is not None
            u = torch.rand(*shape, dtype=torch.float64, device=self.device)
            parts.append(torch.floor(u * self.size[:, c, None]).minimum(self.size[:, c, None] - 1.0))
        return torch.stack(parts, -1)

    def scores(self, points: Tensor) -> tuple[Tensor, Tensor]:
        rows, slope, told = self._decoded(points)
        log_base = torch.zeros(points.shape[:2], dtype=torch.float64, device=points.device)
        for c, coordinate in enumerate(self.moving):
            log_base = log_base + coordinate.log_base(points[..., c])
        if self.size is not None:
            log_base = log_base - torch.log(self.size).sum(1, keepdim=True)
        with pyro.validation_enabled(False):  # a trajectory may leave the numbers; it is refused for that
            return log_base, self.model.log_joint(rows).double() + slope + told - log_base

    def rows(self, points: Tensor) -> Tensor:
        """`[Q, J, width]` in data units."""
        return self._decoded(points)[0]

    def differentiable(self) -> bool:
        """Whether gradients of the joint density reach all moving columns."""
        if not self.moving or any(c.delta for c in self.moving):
            return False
        with torch.enable_grad():
            points = self.start(1).requires_grad_()
            return self.model.log_joint(self.rows(points)).requires_grad

    def _decoded(self, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rows, the sum of log |dx / dz|, and log p(evidence | row)."""
        rows = self._known[:, None].expand(*points.shape[:2], -1).clone()
        slope = torch.zeros(points.shape[:2], dtype=torch.float64, device=points.device)
        told = torch.zeros_like(slope)
        for c, coordinate in enumerate(self.moving):
            x, more = coordinate.decode(points[..., c])
            j = coordinate.column
            rows[..., j] = x
            slope = slope + more
            if self.queries.kind[0, j] == NOISY:
                reading, sd = (
                    torch.as_tensor(e[:, j, None], device=x.device) for e in (self.queries.a, self.queries.b)
                )
                told = told + torch.distributions.Normal(x, sd, validate_args=False).log_prob(reading)
        for c, j in enumerate(self.chosen):
            index = points[..., len(self.moving) + c].long()
            rows[..., j] = self._values[c].gather(1, index)
            told = told + self._told[c].gather(1, index)
        return rows, slope, told


def _packed(values: np.ndarray, log_likelihood: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same lists with what is possible first; what is left over repeats the first value at -inf."""
    order = np.argsort(~np.isfinite(log_likelihood), axis=1, kind="stable")
    values, told = (np.take_along_axis(x, order, 1) for x in (values, log_likelihood))
    return np.where(np.isnan(values), values[:, :1], values), told


def _coordinate(queries: QueryBatch, j: int, seen: np.ndarray, device: torch.device) -> Coordinate:
    variable = queries.schema.columns[j]
    lo, hi, delta, offset = _bounds(queries, variable, j)
    seen = seen[~np.isnan(seen)]
    loc, scale = np.zeros(len(queries)), np.ones(len(queries))
    spread = float(seen.std()) if len(seen) > 1 and seen.std() > 0 else 1.0
    for q in range(len(queries)):
        inside = seen[(seen > lo[q]) & (seen < hi[q])]
        ends = np.isfinite([lo[q], hi[q]])
        if len(inside) >= _SEEN or (len(inside) and not ends.any()):
            z = _encoded(inside, lo[q], hi[q])
            loc[q], scale[q] = z.mean(), _WIDER * max(z.std(), 1e-3 * spread if not ends.any() else 1e-3)
        elif ends.all():
            scale[q] = 1.6  # a logistic law, so nearly uniform between the ends
        elif ends.any():
            loc[q], scale[q] = np.log(spread / 2), 1.5
        else:
            scale[q] = _WIDER * spread
    tensors = (torch.as_tensor(x[:, None], device=device) for x in (lo, hi, loc, scale))
    lo_t, hi_t, loc_t, scale_t = tensors
    return Coordinate(j, lo_t, hi_t, delta, offset, loc_t, scale_t)


def _bounds(queries: QueryBatch, variable: Variable, j: int) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Between which reals each query's value lies, and the grid it is rounded to."""
    support, cell = variable.support, variable.cell
    lo, hi = -np.inf, np.inf
    if isinstance(support, Interval):
        lo, hi = float(support.lo), float(support.hi)
    elif isinstance(support, Positive) or variable.is_count:
        lo = 0.0
    delta = offset = 0.0
    if variable.is_count:
        lo, delta = -0.5, 1.0
    elif cell is not None:
        delta, offset = cell.delta, cell.offset
        lo, hi = (
            float(cell.snap(np.array(e)) + s * delta / 2) if np.isfinite(e) else e for e, s in ((lo, -1), (hi, 1))
        )
    low, high = np.full(len(queries), lo), np.full(len(queries), hi)
    within = queries.kind[:, j] == RANGE
    a, b = queries.a[within, j], queries.b[within, j]
    if variable.is_count:
        a, b = np.ceil(a) - 0.5, np.floor(b) + 0.5
    elif cell is not None:
        a, b = cell.span(a, b)
    low[within], high[within] = np.maximum(low[within], a), np.minimum(high[within], b)
    return low, high, delta, offset


def _encoded(x: np.ndarray, lo: float, hi: float) -> np.ndarray:
    if np.isfinite(lo) and np.isfinite(hi):
        return np.log(x - lo) - np.log(hi - x)
    if np.isfinite(lo):
        return np.log(x - lo)
    return np.log(hi - x) if np.isfinite(hi) else x
