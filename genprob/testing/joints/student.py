"""The multivariate Student-t: conditionals are t, with a scale that depends on what is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from genprob.query.batch import POINT, RANGE, QueryBatch
from genprob.query.evidence import Equals, Within
from genprob.testing.joints.gaussian_mixture import reals
from genprob.testing.joints.regression import Regression, root
from genprob.testing.reference import ReferenceJoint


class StudentT(ReferenceJoint):
    """t_v(x; m, C) over scalar reals, of density proportional to (1 + (x-m)' C^-1 (x-m) / v)^(-(v+d)/2).

    x_U given p columns x_O = o is t with v + p degrees of freedom, the Gaussian's conditional mean, and the Gaussian's
    conditional covariance times (v + distance) / (v + p), distance = (o-m_O)' C_OO^-1 (o-m_O) (Ding 2016, On the
    conditional distribution of the multivariate t distribution). One interval is a difference of t distribution
    functions.

    Arguments:
        df: degrees of freedom v > 0.
        mean: `[d]`.
        scale: `[d, d]` the scale matrix C, positive definite.
        names: of the variables; x1, x2, ... by default.

    >>> joint = StudentT(1.0, [0.0], [[1.0]])
    >>> joint.log_prob([[0.0]]).round(4).item()  # a Cauchy law: log(1 / pi)
    -1.1447
    """

    intervals = 1

    def __init__(
        self,
        df: float,
        mean: np.ndarray | Sequence,
        scale: np.ndarray | Sequence,
        names: Sequence[str] | None = None,
    ) -> None:
        self.df = float(df)
        self.mean, self.scale = np.asarray(mean, dtype=np.float64), np.asarray(scale, dtype=np.float64)
        self.schema = reals(len(self.mean), names)

    def kinds(self, variable: str) -> frozenset[type]:
        return frozenset({Equals, Within})

    def condition(self, queries: QueryBatch) -> ConditionalT:
        known = np.flatnonzero(queries.kind[0] == POINT)
        cut = np.flatnonzero(queries.kind[0] == RANGE)
        error = np.zeros((1, len(known)))
        regression = Regression.on(self.mean[None], self.scale[None], known, queries.a[:, known], error)
        distance, n = regression.distance[:, 0], len(known)
        volume = n * np.log(self.df * np.pi) + regression.log_det[:, 0]
        tail = (self.df + n) * np.log1p(distance / self.df)
        log_density = special.gammaln((self.df + n) / 2) - special.gammaln(self.df / 2) - 0.5 * (volume + tail)
        factor = (self.df + distance) / (self.df + n)
        ends = (queries.a[:, cut[0]], queries.b[:, cut[0]]) if len(cut) else None
        return ConditionalT(
            self.df + n, regression.mean[:, 0], regression.covariance[0, 0], factor, log_density, ends,
            int(cut[0]) if len(cut) else 0,
        )  # fmt: skip


@dataclass(frozen=True)
class ConditionalT:
    """t of `df`, mean `[Q, d]` and scale matrix `factor [Q]` times `scale [d, d]`, column `cut` within `ends`."""

    df: float
    mean: np.ndarray
    scale: np.ndarray
    factor: np.ndarray
    log_density: np.ndarray
    ends: tuple[np.ndarray, np.ndarray] | None
    cut: int

    @property
    def log_evidence(self) -> np.ndarray:
        if self.ends is None:
            return self.log_density
        low, high, _ = self._levels()
        with np.errstate(divide="ignore"):
            return self.log_density + np.log(high - low)

    def draw(self, draws: int, rng: np.random.Generator) -> np.ndarray:
        mean = np.repeat(self.mean[:, None], draws, 1)
        scale, df, factor = self.scale, self.df, np.repeat(self.factor[:, None], draws, 1)
        if self.ends is not None:
            c = self.cut
            low, high, flip = (x[:, None] for x in self._levels())
            t = special.stdtrit(df, low + (high - low) * rng.random(factor.shape))
            t = np.where(flip, -t, t)
            x = mean[..., c] + t * np.sqrt(factor * scale[c, c])
            x = np.clip(x, self.ends[0][:, None], self.ends[1][:, None])
            mean = mean + scale[c] / scale[c, c] * (x - mean[..., c])[..., None]
            mean[..., c] = x
            scale = scale - np.outer(scale[c], scale[c]) / scale[c, c]
            scale[c] = scale[:, c] = 0.0
            factor, df = factor * (df + t**2) / (df + 1), df + 1
        spread = np.sqrt(factor * df / rng.chisquare(df, factor.shape))
        return mean + spread[..., None] * (rng.standard_normal(mean.shape) @ root(scale).T)

    def _levels(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Distribution function at the ends, both mirrored where the interval lies above the mean."""
        assert self.ends is not None
        sd = np.sqrt(self.factor * self.scale[self.cut, self.cut])
        low, high = ((end - self.mean[:, self.cut]) / sd for end in self.ends)
        flip = low > 0
        low, high = np.where(flip, -high, low), np.where(flip, -low, high)
        return special.stdtr(self.df, low), special.stdtr(self.df, high), flip
