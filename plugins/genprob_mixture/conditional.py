"""Conditionals of a mixture: exact for points, readings and one interval; sequential proposals for several."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from genprob.query.batch import POINT, QueryBatch
from genprob_mixture import gaussian, truncated
from genprob_mixture.evidence import Evidence, encode
from genprob_mixture.gaussian import LOG_2PI
from genprob_mixture.patterns import Patterns, group

if TYPE_CHECKING:
    from genprob_mixture.mixture import Mixture

DEFENSIVE = 0.1
"""Share of proposals that ignore every approximation."""
_TINY = 1e-12
_NARROW = 0.2
_CACHED = 32_768
"""Numbers of one row of a matrix held at once."""


def _smooth_rule(nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes and weights on (0, 1), crowded at both ends, where normal quantiles run off."""
    at, share = np.polynomial.legendre.leggauss(nodes)
    t = (at + 1) / 2
    return t * t * (3 - 2 * t), share / 2 * 6 * t * (1 - t)


_WIDE_RULE = _smooth_rule(64)
_NARROW_RULE = tuple(x / 2 for x in (np.polynomial.legendre.leggauss(8)[0] + 1, np.polynomial.legendre.leggauss(8)[1]))
"""Within 1.5 standard deviations the normal density is nearly a polynomial."""


@dataclass(eq=False)
class Conditional:
    """p(x | evidence) of Q queries, component by component, boxes still to be settled.

    Attributes:
        evidence: what is known.
        mean: `[Q, K, d]` conditional means given points and linear readings.
        log_weight: `[Q, K]` log p(k, points, readings, tables).
        pattern: `[Q]` index into the P patterns below.
        settled: real columns with boxes or bent readings, in the order in which they are settled: first where they are
            narrow, then where they are wide, since a wide box settled first would often leave a narrow one no mass.
        active: `[settled, Q]` bool, the queries that a place in that order concerns.
        gain: `[P, settled, K, d]` regression of all columns on a settled one, given those before it.
        spread: `[P, settled, K]` its standard deviation given those before it.
        covariance: `[P, K, d, d]` of what stays unknown; zero rows elsewhere.
        unknown: `[Q, width]` bool, flat columns of the schema that are not given to a point.
    """

    mixture: Mixture
    evidence: Evidence
    mean: Tensor
    log_weight: Tensor
    pattern: Tensor
    settled: list[int]
    active: Tensor
    gain: Tensor
    spread: Tensor
    covariance: Tensor
    unknown: Tensor

    def of(self, queries: slice | Tensor) -> Conditional:
        """The conditionals of some of the queries; patterns are shared."""
        return replace(
            self,
            evidence=self.evidence.of(queries),
            mean=self.mean[queries],
            log_weight=self.log_weight[queries],
            pattern=self.pattern[queries],
            active=self.active[:, queries],
            unknown=self.unknown[queries],
        )

    def settle(self, k: Tensor) -> tuple[Tensor, Tensor]:
        """Draws the boxed and bent columns of components `k [Q, S]` one after the other.

        Each is drawn from its conditional given those before it, cut to its box (Geweke 1991; Hajivassiliou and
        McFadden 1998; Genz 1992). Returns means `[Q, S, d]` given the drawn values, which stand at their columns, and
        the log-weights `[Q, S]` that make the draws proper.
        """
        q = torch.arange(len(k), device=k.device)[:, None]
        mean = self.mean[q, k]
        log_weight = torch.zeros(k.shape, dtype=mean.dtype, device=k.device)
        p = self.pattern[:, None]
        for position, c in enumerate(self.settled):
            active = self.active[position]
            boxed, bent = self.evidence.boxed[:, c] & active, self.evidence.bent[:, c] & active
            centre, spread = mean[..., c], self.spread[p, position, k]
            value, extra = centre, torch.zeros_like(centre)
            if bool(boxed.any()):
                value, extra = self._in_box(c, centre, spread, torch.rand_like(centre))
            if bool(bent.any()):
                read, weight = self._near_reading(c, centre, spread)
                value = torch.where(bent[:, None], read, value)
                extra = torch.where(bent[:, None], weight, extra)
            step = torch.where(active[:, None], value - centre, 0.0)
            log_weight = log_weight + torch.where(active[:, None], extra, 0.0)
            mean = torch.addcmul(mean, self.gain[p, position, k], step[..., None])
            mean[..., c] = torch.where(active[:, None], value, mean[..., c])
        return mean, log_weight

    def nodes(self, k: Tensor, only: int | None = None) -> tuple[Tensor, Tensor]:
        """Components `k [Q, S]` spread over quadrature nodes of the one boxed column of each query.

        Returns means `[Q, S, N, d]` and log shares `[Q, S, N]`: averages over them are averages over the truncated
        law, interval by interval. `only` names the column to integrate over, where columns are independent.
        """
        q, p = torch.arange(len(k), device=k.device)[:, None], self.pattern[:, None]
        start = self.mean[q, k]
        places = [
            (position, c, at)
            for position, c in enumerate(self.settled)
            if only in (None, c) and bool((at := self.active[position] & self.evidence.boxed[:, c]).any())
        ]
        bounds, wide = [], False
        for position, c, at in places:
            centre, spread = start[..., c, None], self.spread[p, position, k][..., None]
            low, high = ((end[:, c][:, None] - centre) / spread for end in (self.evidence.lower, self.evidence.upper))
            mass = truncated.log_mass(low, high)
            bounds.append((low, high, mass))
            wide = wide or bool((((high - low) > 1.5) & torch.isfinite(mass))[at].any())
        u, share = (torch.as_tensor(x, device=k.device) for x in (_WIDE_RULE if wide else _NARROW_RULE))
        intervals = self.evidence.lower.shape[-1]
        mean = start[:, :, None].repeat(1, 1, intervals * len(u), 1)
        log_share = torch.full(mean.shape[:-1], -torch.inf, dtype=mean.dtype, device=k.device)
        log_share[..., 0] = 0.0
        for (position, c, at), (a, b, mass) in zip(places, bounds, strict=True):
            possible = torch.isfinite(mass)[..., None]
            z = torch.where(possible, truncated.draw(a[..., None], b[..., None], u.expand(*a.shape, -1)), 0.0)
            step = (self.spread[p, position, k][..., None, None] * z).flatten(2)
            weight = (torch.log_softmax(mass, -1)[..., None] + torch.log(share)).nan_to_num(-torch.inf).flatten(2)
            value = start[at][..., c, None] + step[at]
            mean[at] += self.gain[p, position, k][at][:, :, None] * step[at][..., None]
            mean[at, :, :, c] = value
            log_share[at] = weight[at]
        return mean, log_share

    def _in_box(self, c: int, centre: Tensor, spread: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        lower, upper = self.evidence.lower[:, c], self.evidence.upper[:, c]
        if lower.shape[-1] == 1:
            a, b = (lower - centre) / spread, (upper - centre) / spread
            mass = truncated.log_mass(a, b)
        else:
            a = (lower[:, None] - centre[..., None]) / spread[..., None]
            b = (upper[:, None] - centre[..., None]) / spread[..., None]
            masses = truncated.log_mass(a, b)
            mass = torch.logsumexp(masses, -1)
            share = torch.exp(masses - mass[..., None]).nan_to_num(0.0).cumsum(-1)
            which = (u[..., None] > share).sum(-1).clamp(max=lower.shape[-1] - 1)
            before = torch.cat([torch.zeros_like(share[..., :1]), share[..., :-1]], -1)
            start = before.gather(-1, which[..., None])[..., 0]
            width = share.gather(-1, which[..., None])[..., 0] - start
            u = ((u - start) / width.clamp(min=1e-300)).clamp(0.0, 1.0)
            a, b = a.gather(-1, which[..., None])[..., 0], b.gather(-1, which[..., None])[..., 0]
        return centre + spread * truncated.draw(a, b, u), mass

    def _near_reading(self, c: int, centre: Tensor, spread: Tensor) -> tuple[Tensor, Tensor]:
        """Proposes from the conjugate posterior of a linearised reading, a tenth from the prior, and weighs."""
        law, evidence = self.mixture.encoder, self.evidence
        value, sd = evidence.value[:, c, None], evidence.sd[:, c, None]
        at, slope = self._linearise(c, evidence.value[:, c], evidence.sd[:, c])
        noise = (sd / slope[:, None]).square()
        variance = 1 / (1 / spread.square() + 1 / noise)
        peak = variance * (centre / spread.square() + at[:, None] / noise)
        width = 1.2 * variance.sqrt()
        ignore = torch.rand_like(centre) < DEFENSIVE
        z = torch.randn_like(centre)
        y = torch.where(ignore, centre + spread * z, peak + width * z)
        prior = _log_normal(y, centre, spread)
        proposal = torch.logaddexp(math.log(1 - DEFENSIVE) + _log_normal(y, peak, width), math.log(DEFENSIVE) + prior)
        x = law.snap_column(c, law.decode_column(c, y))
        return y, prior - proposal + _log_normal(value, x, sd)

    def _linearise(self, c: int, value: Tensor, sd: Tensor) -> tuple[Tensor, Tensor]:
        """Where in encoded coordinates a reading points, and dx/dy there."""
        law = self.mixture.encoder
        inside = law.nearest_inside(c, value, sd)
        at = law.encode_column(c, inside)
        h = 1e-4
        slope = (law.decode_column(c, at + h) - law.decode_column(c, at - h)) / (2 * h)
        return at, slope.clamp(min=1e-12)

    def log_mass(self, paths: int = 1) -> Tensor:
        """log P(boxes and bent readings | k, points) of each component, `[Q, K]`.

        Exact for one box, or independent ones, along any path; otherwise an average over that many sampled paths.
        """
        queries, components = self.log_weight.shape
        if not self.settled:
            return torch.zeros_like(self.log_weight)
        k = torch.arange(components, device=self.mean.device).repeat(queries, paths)
        _, log_weight = self.settle(k)
        return torch.logsumexp(log_weight.reshape(queries, paths, components), 1) - math.log(paths)

    def roots(self, k: Tensor) -> tuple[Tensor, Tensor]:
        """Matrix square roots `[pairs, d, d]` of the residual covariances, and the pair of each `k [Q, S]`."""
        components = self.covariance.shape[1]
        pairs, index = torch.unique(self.pattern[:, None] * components + k, return_inverse=True)
        matrix = self.covariance.reshape(-1, *self.covariance.shape[2:])[pairs]
        diagonal = matrix.diagonal(dim1=-2, dim2=-1)
        empty = (diagonal <= _TINY).to(matrix.dtype)
        keep = (1 - empty)[:, :, None] * (1 - empty)[:, None, :]
        factor, info = torch.linalg.cholesky_ex(matrix * keep + torch.diag_embed(empty + 1e-13))
        if bool(info.any()):
            values, vectors = torch.linalg.eigh(matrix * keep)
            root = vectors * values.clamp(min=0).sqrt()[:, None, :]
            factor = torch.where((info > 0)[:, None, None], root, factor)
        return factor * (1 - empty)[:, :, None], index


def _log_normal(x: Tensor, mean: Tensor, sd: Tensor) -> Tensor:
    return -0.5 * ((x - mean) / sd).square() - torch.log(sd) - 0.5 * LOG_2PI


@torch.no_grad()
def condition(mixture: Mixture, queries: QueryBatch) -> Conditional:
    """Conditions every component on the evidence of every query."""
    evidence = encode(mixture, queries)
    mean, covariance = mixture.mean.detach(), mixture.covariance().detach()
    queries_n, d = evidence.y.shape
    components = len(mean)
    narrow, wide = _turns(mixture, evidence)
    patterns = group(torch.cat([evidence.known, narrow, wide], 1), separate=bool(evidence.noisy.any()))
    turns = patterns.masks[:, d : 2 * d], patterns.masks[:, 2 * d :]
    patterns = replace(patterns, masks=patterns.masks[:, :d])
    conditional_mean = mean.new_empty(queries_n, components, d)
    log_density = mean.new_zeros(queries_n, components)
    residual = mean.new_empty(len(patterns), components, d, d)
    for part in gaussian.chunks(len(patterns), components, d):
        swept = gaussian.sweep(covariance, patterns.masks[part])
        residual[part] = swept.conditional()
        first, last = patterns.starts[part.start], patterns.starts[part.stop]
        _condition_rows(
            evidence, patterns, part, patterns.order[first:last], mean, swept, conditional_mean, log_density
        )
    log_weight = mixture.weights().detach() + log_density + evidence.table + evidence.log_scale[:, None]
    if bool(evidence.noisy.any()):
        _read(evidence, conditional_mean, log_weight, residual)
    order = [(c, mask, at[:, c]) for mask, at in zip(turns, (narrow, wide), strict=True)
             for c in torch.nonzero(mask.any(0))[:, 0].tolist()]  # fmt: skip
    gain = mean.new_zeros(len(patterns), len(order), components, d)
    spread = mean.new_ones(len(patterns), len(order), components)
    for position, (c, mask, _) in enumerate(order):
        on = mask[:, c, None]
        variance = residual[:, :, c, c].clamp(min=_TINY)
        column = residual[..., c].clone()
        gain[:, position] = torch.where(on[..., None], column / variance[..., None], 0.0)
        spread[:, position] = variance.sqrt()
        residual -= gain[:, position, :, :, None] * column[:, :, None, :]
        residual[:, :, c] = torch.where(on[..., None], 0.0, residual[:, :, c])
        residual[:, :, :, c] = torch.where(on[..., None], 0.0, residual[:, :, :, c])
    settled = [c for c, _, _ in order]
    active = torch.stack([at for _, _, at in order]) if order else narrow.new_zeros(0, queries_n)
    unknown = torch.as_tensor(queries.kind != POINT, device=mean.device)
    return Conditional(
        mixture,
        evidence,
        conditional_mean,
        log_weight,
        patterns.of_row,
        settled,
        active,
        gain,
        spread,
        residual,
        unknown,
    )


def _turns(mixture: Mixture, evidence: Evidence) -> tuple[Tensor, Tensor]:
    """Which boxed and bent cells `[Q, d]` are narrow, in standard deviations of the data, and which are wide."""
    box = torch.where(evidence.lower < evidence.upper, evidence.upper - evidence.lower, 0.0).sum(-1)
    reading = evidence.sd / (mixture.encoder.scale * mixture.encoder.stretch)
    width = torch.where(evidence.boxed, box, reading)
    unsettled = evidence.boxed | evidence.bent
    return unsettled & (width < _NARROW), unsettled & ~(width < _NARROW)


def _condition_rows(
    evidence: Evidence, patterns: Patterns, part: slice, index: Tensor, mean: Tensor, swept: gaussian.Swept,
    conditional_mean: Tensor, log_density: Tensor,
) -> None:  # fmt: skip
    """Means given the points and log densities of the points, of the rows `index` of some patterns, in place.

    In the sweep's own layout `[d, d, rows, K]`, row by row of the matrices, as many rows at once as stay in cache.
    """
    d = mean.shape[1]
    step = max(1, _CACHED // (len(mean) * max(1, d)))
    for a in range(0, len(index), step):
        rows = index[a : a + step]
        local = patterns.of_row[rows] - part.start
        known = swept.masks[local].T[..., None]
        given = evidence.y[rows].T[..., None]
        difference = torch.where(known, given - mean.T[:, None], 0.0)
        square = torch.zeros_like(difference[0]) if d else log_density[rows]
        for i in range(d):
            product = (swept.matrix[i][:, local] * difference).sum(0)
            square -= difference[i] * product  # zero at unknown columns
            conditional_mean[rows, :, i] = torch.where(known[i], given[i], mean[:, i] + product)
        square = square.nan_to_num(torch.inf, torch.inf)  # so far out that its square overflows
        log_density[rows] = -0.5 * (square + swept.logdet[local] + known.sum(0) * LOG_2PI)


def _read(evidence: Evidence, mean: Tensor, log_weight: Tensor, covariance: Tensor) -> None:
    """Takes in linear readings in place, one column at a time (the measurement update of a Kalman filter)."""
    for c in torch.nonzero(evidence.noisy.any(0))[:, 0].tolist():
        on = evidence.noisy[:, c]
        total = covariance[:, :, c, c] + torch.where(on, evidence.noise[:, c], 1.0)[:, None]
        surprise = evidence.reading[:, c, None] - mean[..., c]
        log_weight += torch.where(on[:, None], _log_normal(surprise, torch.zeros_like(surprise), total.sqrt()), 0.0)
        column = covariance[..., c].clone()
        gain = torch.where(on[:, None, None], column / total[..., None], 0.0)
        mean += gain * surprise[..., None]
        covariance -= gain[..., :, None] * column[..., None, :]


def inexact(mixture: Mixture, queries: QueryBatch) -> list[str]:
    """Why each query has no closed form."""
    evidence = encode(mixture, queries)
    boxes = evidence.boxed.sum(1).cpu().numpy()
    bent = evidence.bent.cpu().numpy()
    names = [mixture.schema.columns[j].name for j in mixture.encoder.columns]
    coupled = mixture.covariance_form != "diagonal"
    out = []
    for q in range(len(queries)):
        if bent[q].any():
            name = names[int(np.flatnonzero(bent[q])[0])]
            out.append(f"a noisy reading of {name!r} is not linear in the coordinate in which the mixture is Gaussian")
        elif boxes[q] > 1 and coupled:
            out.append(f"{boxes[q]} intervals or rounding cells on correlated reals have no closed form together")
        else:
            out.append("")
    return out
