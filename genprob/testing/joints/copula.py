"""The Gaussian copula: a Gaussian seen through given marginals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import special

from genprob.data.schema import Schema, Variable
from genprob.data.support import Interval, Positive, Real, Support
from genprob.query.batch import NOISY, POINT, RANGE, QueryBatch
from genprob.query.evidence import Equals, Soft, Within
from genprob.testing import normal
from genprob.testing.joints.gaussian import Gaussian
from genprob.testing.reference import Conditional, ReferenceJoint

_FAR = 1e4
"""Standard deviations beyond which a point has no density in any case."""


class GaussianCopula(ReferenceJoint):
    """p(x) = N(z; 0, R) prod_j f_j(x_j) / N(z_j; 0, 1) with z_j = Phi^-1(F_j(x_j)).

    Points and one interval map to z one by one, so conditionals are the Gaussian's, mapped back. A noisy reading is
    linear in z for normal marginals only, and exact there.

    Arguments:
        correlation: `[d, d]` R, with a diagonal of ones.
        marginals: variable -> frozen `scipy.stats` law, whose support decides the variable's.

    >>> from scipy import stats
    >>> joint = GaussianCopula(np.eye(2), {"a": stats.expon(), "b": stats.uniform()})
    >>> joint.log_prob([[1.0, 0.3]]).round(12).item()
    -1.0
    """

    intervals = 1

    def __init__(self, correlation: np.ndarray | Sequence, marginals: Mapping[str, Any]) -> None:
        self.laws = dict(marginals)
        self.latent = Gaussian(np.zeros(len(self.laws)), correlation, list(self.laws))
        self.schema = Schema(tuple(Variable(name, _support(law)) for name, law in self.laws.items()))

    def kinds(self, variable: str) -> frozenset[type]:
        return frozenset({Equals, Within, Soft} if self._normal(self.laws[variable]) else {Equals, Within})

    def condition(self, queries: QueryBatch) -> ConditionalCopula:
        a, b = queries.a.copy(), queries.b.copy()
        log_scale = np.zeros(len(queries))
        for j, law in enumerate(self.laws.values()):
            kind = queries.kind[0, j]
            if kind == POINT:
                a[:, j] = np.clip(to_normal(law, queries.a[:, j]), -_FAR, _FAR)
                log_scale += law.logpdf(queries.a[:, j]) - normal.log_density(a[:, j])
            elif kind == RANGE:
                a[:, j], b[:, j] = to_normal(law, queries.a[:, j]), to_normal(law, queries.b[:, j])
            elif kind == NOISY:
                sd = law.std()
                a[:, j], b[:, j] = (queries.a[:, j] - law.mean()) / sd, queries.b[:, j] / sd
                log_scale -= np.log(sd)
        mapped = self.latent.condition(replace(queries, schema=self.latent.schema, a=a, b=b))
        return ConditionalCopula(list(self.laws.values()), queries, mapped, log_scale)

    @staticmethod
    def _normal(law: Any) -> bool:
        return law.dist.name == "norm"


@dataclass(frozen=True)
class ConditionalCopula:
    """The Gaussian's conditional, mapped back through the marginals `laws`."""

    laws: list[Any]
    queries: QueryBatch
    latent: Conditional
    log_scale: np.ndarray

    @property
    def log_evidence(self) -> np.ndarray:
        return self.latent.log_evidence + self.log_scale

    def draw(self, draws: int, rng: np.random.Generator) -> np.ndarray:
        z = self.latent.draw(draws, rng)
        x = np.stack([from_normal(law, z[..., j]) for j, law in enumerate(self.laws)], -1)
        point = np.broadcast_to((self.queries.kind == POINT)[:, None], x.shape)
        x = np.where(point, self.queries.a[:, None], x)
        cut = np.flatnonzero(self.queries.kind[0] == RANGE)
        x[..., cut] = np.clip(x[..., cut], self.queries.a[:, None, cut], self.queries.b[:, None, cut])
        return x


def to_normal(law: Any, x: np.ndarray) -> np.ndarray:
    """Phi^-1(F(x)), from the nearer tail."""
    with np.errstate(divide="ignore"):
        below, above = law.logcdf(x), law.logsf(x)
    return np.where(below < above, special.ndtri_exp(below), -special.ndtri_exp(above))


def from_normal(law: Any, z: np.ndarray) -> np.ndarray:
    """F^-1(Phi(z)), from the nearer tail."""
    tail = special.ndtr(-np.abs(z))
    return np.where(z < 0, law.ppf(tail), law.isf(tail))


def _support(law: Any) -> Support:
    lo, hi = law.support()
    if np.isfinite(lo) and np.isfinite(hi):
        return Interval(float(lo), float(hi))
    return Positive() if lo == 0 else Real()
