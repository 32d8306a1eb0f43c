"""Two moons: a crescent in x for every theta, two crescents in theta for every x."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import interpolate

from genprob.query.batch import NOTHING, QueryBatch
from genprob.query.evidence import Equals
from genprob.testing import normal
from genprob.testing.choice import along, logsumexp
from genprob.testing.joints.gaussian_mixture import reals
from genprob.testing.reference import ReferenceJoint

RADIUS, WIDTH, SHIFT = 0.1, 0.01, 0.25
_ROOT2 = float(np.sqrt(2.0))
_FAR = RADIUS + 10 * WIDTH
"""Beyond this distance from its centre a crescent has no density worth counting."""
_LAST = 0.7
"""End of the table of a crescent's marginals, whose logs are below -1500 there."""
_PANELS, _ORDER = 24, 6
_LINE = 400
"""Nodes of each piece of a line between which draws take the density as linear."""
_ACROSS = 160
_EXCESS = 1.05
_ROWS = 20_000


class TwoMoons(ReferenceJoint):
    """theta ~ U(-1, 1)^2, r ~ N(0.1, 0.01), a ~ U(-pi/2, pi/2), x = (r cos a + 0.25, r sin a) + m(theta).

    m(theta) = (-|theta0 + theta1|, theta1 - theta0) / sqrt 2. With y = x - m - (0.25, 0), p(x | theta) =
    N(|y|; 0.1, 0.01) / (pi |y|) where y0 > 0 and 0 elsewhere; 1 / |y| is the Jacobian of polar coordinates. Negative
    r, of probability 1e-23, are left out.

    In s = (theta0 + theta1) / sqrt 2 and d = (theta1 - theta0) / sqrt 2, uniform on |s| + |d| <= sqrt 2, the data are
    x = (y0 + 0.25 - |s|, y1 + d). What is unknown is integrated along one line (the other theta, |s|, d, or the angle
    a with r in closed form) by composite Gauss-Legendre.

    >>> joint = TwoMoons()
    >>> joint.log_prob([[0.5, 0.0, float("nan"), float("nan")]]).round(4).item()  # uniform on a square of area 4
    -1.3863
    """

    accuracy = "log-evidence 1e-6, draws 1e-3 in total variation"

    def __init__(self) -> None:
        self.schema = reals(4, ("theta0", "theta1", "x0", "x1"))

    def kinds(self, variable: str) -> frozenset[type]:
        return frozenset({Equals})

    def condition(self, queries: QueryBatch) -> ConditionalMoons:
        return ConditionalMoons(self, queries.a, queries.kind[0] != NOTHING)

    def log_y(self, y0: np.ndarray, y1: np.ndarray) -> np.ndarray:
        """log density of y, the crescent itself."""
        return np.where(y0 > 0, _log_ring(np.hypot(y0, y1)), -np.inf)

    def log_y0(self, y0: np.ndarray) -> np.ndarray:
        """log density of y0 alone; its jump at 0 counts as inside."""
        inside = (y0 >= 0) & (y0 < _LAST)
        return np.where(inside, self._half(np.clip(y0, 0.0, _LAST)) + np.log(2), -np.inf)

    def log_y1(self, y1: np.ndarray) -> np.ndarray:
        """log density of y1 alone."""
        return np.where(np.abs(y1) < _LAST, self._half(np.minimum(np.abs(y1), _LAST)), -np.inf)

    @cached_property
    def _half(self) -> interpolate.CubicSpline:
        """log of the ring's density integrated over the other coordinate from 0 to infinity, by either coordinate."""
        y = np.linspace(0.0, _LAST, 4001)
        other, weight = panels(np.array([[0.0, _FAR]]), 40)
        log_density = logsumexp(_log_ring(np.hypot(y[:, None], other)) + np.log(weight))
        # Mirrored, so that the slope at 0 is 0.
        both = np.concatenate([-y[:0:-1], y]), np.concatenate([log_density[:0:-1], log_density])
        return interpolate.CubicSpline(*both)


@dataclass(frozen=True)
class ConditionalMoons:
    """Given the columns `known [4]` of `values [Q, 4]`."""

    moons: TwoMoons
    values: np.ndarray
    known: np.ndarray

    @cached_property
    def log_evidence(self) -> np.ndarray:
        if self.known[:2].all():
            return self._log_density(self.values[:, :2])
        if not self.known.any():
            return np.zeros(len(self.values))
        nodes, weight = self._nodes(panels, _PANELS)
        with np.errstate(divide="ignore"):
            return logsumexp(self._log_line(nodes) + np.log(weight))

    def draw(self, draws: int, rng: np.random.Generator) -> np.ndarray:
        out = np.repeat(self.values, draws, 0)
        query = np.repeat(np.arange(len(self.values)), draws)
        if not self.known.any():
            out[:, :2] = rng.uniform(-1, 1, (len(out), 2))
        elif not self.known[:2].all():
            self._draw_theta(out, query, rng)
        self._draw_x(out, rng)
        return out.reshape(len(self.values), draws, 4)

    # --- the line that is left when something is known and some theta is not

    def _pieces(self) -> list[np.ndarray]:
        """Intervals `[Q, 2]` of the line within which its density is smooth, those that matter short."""
        zero = np.zeros(len(self.values))
        s = (
            [sign * (SHIFT - self.values[:, 2] + far) for far in (0.0, _FAR) for sign in (-1, 1)]
            if self.known[2]
            else []
        )
        d = [self.values[:, 3] - _FAR, self.values[:, 3], self.values[:, 3] + _FAR] if self.known[3] else []
        if self.known[:2].any():
            known = int(np.flatnonzero(self.known[:2])[0])
            fixed, side = self.values[:, known], 1 - 2 * known
            ends = 1.0
            breaks = [-fixed, *(_ROOT2 * at - fixed for at in s), *(fixed + side * _ROOT2 * at for at in d)]
        elif self.known[2:].all():
            ends, breaks = np.pi / 2, [zero + at for at in np.linspace(-1.5, 1.5, 11)]
        else:
            ends, breaks = _ROOT2, [zero, *s, *d]
        points = np.stack([zero - ends, *(np.clip(b, -ends, ends) for b in breaks), zero + ends], 1)
        points.sort(1)
        return [points[:, i : i + 2] for i in range(points.shape[1] - 1)]

    def _nodes(self, rule, count: int) -> tuple[np.ndarray, np.ndarray]:
        parts = [rule(piece, count) for piece in self._pieces()]
        return np.concatenate([p[0] for p in parts], 1), np.concatenate([p[1] for p in parts], 1)

    def _log_line(self, line: np.ndarray) -> np.ndarray:
        """log p(place on the line, what is known) at `line [Q, G]`."""
        if self.known[:2].any():
            return self._log_density(self._theta(line))
        if self.known[2:].all():
            low, high = self._radii(line, self.values[:, 2, None], self.values[:, 3, None])
            mass = normal.log_mass((low - RADIUS) / WIDTH, (high - RADIUS) / WIDTH)
            return mass - np.log(np.pi) - np.log(2.0)  # two signs of s, each of density 1/4
        with np.errstate(divide="ignore"):
            prior = np.log((_ROOT2 - np.abs(line)).clip(min=0) / 2)
        if self.known[2]:
            return prior + self.moons.log_y0(self.values[:, 2, None] - SHIFT + np.abs(line))
        return prior + self.moons.log_y1(self.values[:, 3, None] - line)

    def _theta(self, other: np.ndarray) -> np.ndarray:
        """Both thetas `[..., 2]` where one is known."""
        known = int(np.flatnonzero(self.known[:2])[0])
        fixed = np.broadcast_to(self.values[:, known].reshape(-1, *[1] * (other.ndim - 1)), other.shape)
        return np.stack([fixed, other] if known == 0 else [other, fixed], -1)

    def _log_density(self, theta: np.ndarray) -> np.ndarray:
        """log p(theta, known x) for `theta [Q, ..., 2]`."""
        x0, x1 = (self.values[:, c].reshape(-1, *[1] * (theta.ndim - 2)) for c in (2, 3))
        s, d = _rotate(theta)
        prior = np.where((np.abs(theta) <= 1).all(-1), -np.log(4.0), -np.inf)
        if self.known[2:].all():
            return prior + self.moons.log_y(x0 - SHIFT + np.abs(s), x1 - d)
        if self.known[2]:
            return prior + self.moons.log_y0(x0 - SHIFT + np.abs(s))
        return prior + self.moons.log_y1(x1 - d) if self.known[3] else prior

    @staticmethod
    def _radii(angle: np.ndarray, x0: np.ndarray, x1: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Between which r some theta in the square leads to x at this angle; every condition is linear in r."""
        cos, sin = np.cos(angle), np.sin(angle)
        t = SHIFT - x0  # |s| = r cos + t >= 0 and |s| + |x1 - r sin| <= sqrt 2
        low, high = np.maximum(-t / cos, 0.0), np.full(np.broadcast_shapes(t.shape, cos.shape), np.inf)
        for side in (1, -1):
            slope, room = cos - side * sin, _ROOT2 - t - side * x1
            with np.errstate(divide="ignore", invalid="ignore"):
                end = room / slope
            high = np.where(slope > 0, np.minimum(high, end), high)
            low = np.where(slope < 0, np.maximum(low, end), low)
        return low, high

    # --- draws

    def _draw_theta(self, out: np.ndarray, query: np.ndarray, rng: np.random.Generator) -> None:
        nodes, _ = self._nodes(_inside, _LINE)
        log_density = self._log_line(nodes)
        peak = log_density.max(1, keepdims=True)
        density = np.exp(log_density - np.where(np.isfinite(peak), peak, 0.0))
        line, _ = along(nodes, density, query, rng.random((2, len(query))))
        if self.known[:2].any():
            out[:, int(np.flatnonzero(~self.known[:2])[0])] = line
            return
        sign = rng.choice([-1.0, 1.0], len(line))
        if self.known[2:].all():
            low, high = self._radii(line, out[:, 2], out[:, 3])
            bounds = (low - RADIUS) / WIDTH, (high - RADIUS) / WIDTH
            r = RADIUS + WIDTH * normal.truncated(*bounds, rng.random(len(line)))
            s, d = sign * (r * np.cos(line) + SHIFT - out[:, 2]), out[:, 3] - r * np.sin(line)
        else:
            other = rng.uniform(-1, 1, len(line)) * (_ROOT2 - np.abs(line))
            s, d = (line, other) if self.known[2] else (other, line)
        out[:, 0], out[:, 1] = np.clip((s - d) / _ROOT2, -1, 1), np.clip((s + d) / _ROOT2, -1, 1)

    def _draw_x(self, out: np.ndarray, rng: np.random.Generator) -> None:
        s, d = _rotate(out[:, :2])
        match self.known[2:].tolist():
            case [True, True]:
                return
            case [True, False]:
                y1 = _other(out[:, 2] - SHIFT + np.abs(s), rng) * rng.choice([-1.0, 1.0], len(out))
                out[:, 3] = y1 + d
            case [False, True]:
                out[:, 2] = _other(np.abs(out[:, 3] - d), rng) + SHIFT - np.abs(s)
            case _:
                r, a = rng.normal(RADIUS, WIDTH, len(out)), rng.uniform(-np.pi / 2, np.pi / 2, len(out))
                out[:, 2], out[:, 3] = r * np.cos(a) + SHIFT - np.abs(s), r * np.sin(a) + d


def panels(ends: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Composite Gauss-Legendre nodes and weights `[n, nodes]` of intervals `[n, 2]`."""
    at, share = np.polynomial.legendre.leggauss(_ORDER)
    unit = ((at + 1) / 2 + np.arange(count)[:, None]).reshape(-1) / count
    length = ends[:, 1:] - ends[:, :1]
    return ends[:, :1] + length * unit, length * np.tile(share / 2, count) / count


def _inside(ends: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Equally spaced nodes just inside intervals, whose ends may be jumps."""
    length = ends[:, 1:] - ends[:, :1]
    return ends[:, :1] + length * np.linspace(1e-9, 1 - 1e-9, count), length


def _rotate(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (theta[..., 0] + theta[..., 1]) / _ROOT2, (theta[..., 1] - theta[..., 0]) / _ROOT2


def _log_ring(r: np.ndarray) -> np.ndarray:
    """log of N(r; 0.1, 0.01) / (pi r), a density of the plane's right half."""
    r = np.maximum(r, 1e-12)
    return normal.log_density(r, RADIUS, WIDTH) - np.log(np.pi * r)


def _other(y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The other coordinate, taken positive, given one coordinate `y [n]` of a point of the ring.

    Drawn of the linear interpolant between nodes, which a rejection step corrects.
    """
    out = np.empty(len(y))
    for first in range(0, len(y), _ROWS):
        part = np.nan_to_num(y[first : first + _ROWS])
        top = np.sqrt(np.maximum(_FAR, np.abs(part) + WIDTH) ** 2 - part**2)
        nodes = top[:, None] * np.linspace(0.0, 1.0, _ACROSS)
        log_density = _log_ring(np.hypot(part[:, None], nodes))
        peak = log_density.max(1)
        density = np.exp(log_density - peak[:, None])
        left = np.arange(len(part))
        while len(left):
            u, proposed = along(nodes, density, left, rng.random((2, len(left))))
            out[first + left] = u
            ratio = np.exp(_log_ring(np.hypot(part[left], u)) - peak[left]) / np.maximum(proposed, 1e-300)
            left = left[rng.random(len(left)) * _EXCESS > ratio]
    return out
