"""Regions: what queries say of real variables, in encoded coordinates."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from genprob.data.encoders import Encoder
from genprob.nets.normal import draw_between, log_between
from genprob.query.batch import NOISY, POINT, RANGE, SET, QueryBatch

_LOG_ROOT_TWO_PI = 0.9189385332046727


@dataclass(frozen=True, eq=False)
class Regions:
    """Evidence on D reals of Q queries: points, unions of m intervals, noisy readings.

    Attributes:
        encoder: from data units to the coordinates in which points and intervals are given.
        point: `[Q, D]` where a column is given to a point, at `value [Q, D]`; 0 elsewhere.
        boxed: `[Q, D]` where it lies in a union of intervals `lower, upper [Q, D, m]`; empty ones pad.
        noisy: `[Q, D]` where a reading of it is given, `reading, sd [Q, D]` in data units.
        log_jacobian: `[Q]` what turns a density of the points into one in data units.
    """

    encoder: Encoder
    point: Tensor
    value: Tensor
    boxed: Tensor
    lower: Tensor
    upper: Tensor
    noisy: Tensor
    reading: Tensor
    sd: Tensor
    log_jacobian: Tensor

    @classmethod
    def of(cls, encoder: Encoder, queries: QueryBatch) -> Regions:
        """Of queries over a schema whose columns are all real."""
        device, kind = encoder.loc.device, queries.kind
        celled = np.array([cell is not None for cell in encoder.cells], dtype=bool)
        sharp = (kind == POINT) & ~celled
        boxed = (kind == RANGE) | (kind == SET) | ((kind == POINT) & celled)
        members = max([1, *(s.shape[1] for s in queries.sets.values())])
        lower = np.full((*kind.shape, members), np.inf)
        upper = np.full((*kind.shape, members), np.inf)
        for q, j in np.argwhere(boxed):
            lo, hi = _intervals(queries, int(q), int(j), encoder)
            lower[q, j, : len(lo)], upper[q, j, : len(hi)] = lo, hi

        def tensor(array: np.ndarray) -> Tensor:
            return torch.as_tensor(array, device=device)

        value = encoder.decode(torch.zeros(kind.shape, dtype=torch.float64, device=device))
        value = torch.where(tensor(sharp), tensor(np.nan_to_num(queries.a)), value)
        ends = []
        for end in (lower, upper):
            encoded = encoder.encode(tensor(end).movedim(-1, 1)).movedim(1, -1)
            ends.append(torch.where(tensor(boxed)[..., None] & (tensor(lower) < tensor(upper)), encoded, torch.inf))
        noisy = tensor(kind == NOISY)
        return cls(
            encoder,
            tensor(sharp),
            torch.where(tensor(sharp), encoder.encode(value), 0.0),
            tensor(boxed),
            ends[0],
            ends[1],
            noisy,
            torch.where(noisy, tensor(np.nan_to_num(queries.a)), 0.0),
            torch.where(noisy, tensor(np.nan_to_num(queries.b)), 1.0),
            torch.where(tensor(sharp), encoder.log_jacobian(value), 0.0).sum(1),
        )

    def take(self, index: Tensor) -> Regions:
        """The queries at these positions."""
        names = [part.name for part in fields(self) if part.name != "encoder"]
        return replace(self, **{name: getattr(self, name)[index] for name in names})

    def log_mass(self, mean: Tensor, sd: Tensor) -> Tensor:
        """log p(evidence | x ~ N(mean, sd^2)) of `[Q, J, D]`, as `[Q, J]`; differentiable.

        Exact for points (a density in encoded coordinates) and intervals; a noisy reading is taken for one of a
        linear function, with the slope of the encoding at the mean.
        """
        z = (self.value[:, None] - mean) / sd
        out = torch.where(self.point[:, None], -0.5 * z**2 - sd.log() - _LOG_ROOT_TWO_PI, 0.0)
        if bool(self.boxed.any()):
            out = out + torch.where(self.boxed[:, None], self._log_boxes(mean, sd), 0.0)
        if bool(self.noisy.any()):
            with torch.no_grad():
                x = self.encoder.decode(mean)
                slope = torch.exp(-self.encoder.log_jacobian(x))
                centre = mean.detach()
            spread = (self.sd[:, None] ** 2 + (slope * sd) ** 2).sqrt()
            off = (self.reading[:, None] - x - slope * (mean - centre)) / spread
            out = out + torch.where(self.noisy[:, None], -0.5 * off**2 - spread.log() - _LOG_ROOT_TWO_PI, 0.0)
        return out.sum(-1)

    def _log_boxes(self, mean: Tensor, sd: Tensor) -> Tensor:
        """log P(x in its union of intervals), `[Q, J, D]`."""
        empty = ~(self.lower < self.upper)
        lower = torch.where(empty, 0.0, self.lower)[:, None]
        upper = torch.where(empty, 1.0, self.upper)[:, None]
        mass = log_between((lower - mean[..., None]) / sd, (upper - mean[..., None]) / sd)
        mass = torch.where(empty[:, None], -torch.inf, mass.clamp(min=-1e30))
        mass = torch.where(self.boxed[:, None, :, None], mass, 0.0)
        return torch.logsumexp(mass, -1)

    @torch.no_grad()
    def draw(self, mean: Tensor, sd: Tensor) -> tuple[Tensor, Tensor]:
        """Draws of x ~ N(mean, sd^2) that meet points and intervals, `[Q, J, D]`, and log-weights `[Q, J]`.

        Draws times weights are the law N(mean, sd^2) times the likelihood of the evidence, without approximation.
        """
        out = torch.where(self.point[:, None], self.value[:, None], mean + sd * torch.randn_like(mean))
        exact = replace(self, noisy=torch.zeros_like(self.noisy))
        log_weight = exact.log_mass(mean, sd)
        for q, j in self.boxed.nonzero().tolist():
            lower, upper = self.lower[q, j], self.upper[q, j]
            real = lower < upper
            at = mean[q, :, j, None]
            lo, hi = (lower[real] - at) / sd, (upper[real] - at) / sd
            mass = log_between(lo, hi)
            chosen = torch.distributions.Categorical(logits=mass.clamp(min=-1e30)).sample()[:, None]
            out[q, :, j] = at[:, 0] + sd * draw_between(lo.gather(1, chosen)[:, 0], hi.gather(1, chosen)[:, 0])
        return out, log_weight + self.log_readings(out)

    def log_readings(self, points: Tensor) -> Tensor:
        """log p(readings | x) of `[Q, J, D]`, exactly, as `[Q, J]`; differentiable."""
        if not bool(self.noisy.any()):
            return torch.zeros_like(points[..., 0])
        off = (self.reading[:, None] - self.encoder.decode(points)) / self.sd[:, None]
        law = -0.5 * off**2 - self.sd[:, None].log() - _LOG_ROOT_TWO_PI
        return torch.where(self.noisy[:, None], law, 0.0).sum(-1)

    def inside(self, points: Tensor) -> Tensor:
        """Whether `[Q, J, D]` meet the intervals, `[Q, J]`."""
        z = points[..., None]
        met = ((z >= self.lower[:, None]) & (z <= self.upper[:, None])).any(-1)
        return (met | ~self.boxed[:, None]).all(-1)

    def hold(self, points: Tensor) -> Tensor:
        """Points moved to where the evidence allows: given columns set, others put into their nearest interval."""
        out = torch.where(self.point[:, None], self.value[:, None], points)
        for q, j in self.boxed.nonzero().tolist():
            real = self.lower[q, j] < self.upper[q, j]
            lower, upper = self.lower[q, j][real], self.upper[q, j][real]
            # A hair inside, where a density is not cut off.
            gap = torch.where(torch.isfinite(upper - lower), 1e-3 * (upper - lower), 1e-3)
            near = torch.minimum(torch.maximum(out[q, :, j, None], lower + gap), upper - gap)
            out[q, :, j] = near.gather(1, (near - out[q, :, j, None]).abs().argmin(1, keepdim=True))[:, 0]
        return out

    def decode(self, points: Tensor) -> np.ndarray:
        """Points `[..., D]` in data units, rounded reals at the values of their cells."""
        return self.encoder.snap(self.encoder.decode(points.double())).cpu().numpy()


def _intervals(queries: QueryBatch, q: int, j: int, encoder: Encoder) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the intervals in data units, `[m]` each, cut at the support's ends."""
    kind, a, b, cell = queries.kind[q, j], queries.a[q, j], queries.b[q, j], encoder.cells[j]
    if kind == RANGE:
        lo, hi = (np.array([end]) for end in ((a, b) if cell is None else cell.span(a, b)))
    else:
        assert cell is not None  # a true real has no sets
        values = queries.sets[j][q] if kind == SET else np.array([a])
        lo, hi = cell.edges(values[~np.isnan(values)])
    return lo, hi
