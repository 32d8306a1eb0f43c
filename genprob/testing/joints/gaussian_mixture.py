"""The Gaussian mixture, p(x) = sum_k w_k N(x; m_k, C_k): exact for points, noisy readings and one interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from genprob.data.schema import Schema, Variable
from genprob.data.support import Real
from genprob.query.batch import NOISY, POINT, RANGE, QueryBatch
from genprob.query.evidence import Equals, Soft, Within
from genprob.results.record import QUANTILES, Marginal
from genprob.testing import normal
from genprob.testing.choice import choose, logsumexp
from genprob.testing.joints.regression import Regression, root
from genprob.testing.reference import ReferenceJoint

if TYPE_CHECKING:
    from torch import Tensor


def reals(width: int, names: Sequence[str] | None = None) -> Schema:
    """A schema of scalar reals, x1, x2, ... unless named."""
    names = [f"x{i + 1}" for i in range(width)] if names is None else names
    return Schema(tuple(Variable(name, Real()) for name in names))


class GaussianMixture(ReferenceJoint):
    """p(x) = sum_k w_k N(x; m_k, C_k) over scalar reals.

    Given points and readings with normal errors each component stays Gaussian and its weight is multiplied by the
    normal density of what is known; an interval of one column multiplies it by a difference of distribution functions
    and cuts that column's normal law.

    Arguments:
        weight: `[K]`, summing to 1.
        mean: `[K, d]`.
        covariance: `[K, d, d]`, positive definite.
        names: of the variables; x1, x2, ... by default.

    >>> joint = GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], [[[1.0]], [[1.0]]])
    >>> joint.log_prob([[0.0]]).round(4).tolist()
    [-1.4189]
    """

    intervals = 1

    def __init__(
        self,
        weight: np.ndarray | Sequence,
        mean: np.ndarray | Sequence,
        covariance: np.ndarray | Sequence,
        names: Sequence[str] | None = None,
    ) -> None:
        self.weight, self.mean, self.covariance = (np.asarray(x, dtype=np.float64) for x in (weight, mean, covariance))
        self.schema = reals(self.mean.shape[1], names)

    def log_joint(self, values: Tensor) -> Tensor:
        """log p of complete rows, differentiable."""
        from torch.distributions import MultivariateNormal

        mean, covariance, weight = (values.new_tensor(x) for x in (self.mean, self.covariance, self.weight))
        law = MultivariateNormal(mean, covariance, validate_args=False)
        return (weight.log() + law.log_prob(values[..., None, :])).logsumexp(-1)

    def kinds(self, variable: str) -> frozenset[type]:
        return frozenset({Equals, Within, Soft})

    def condition(self, queries: QueryBatch) -> ConditionalMixture:
        kind = queries.kind[0]
        known = np.flatnonzero((kind == POINT) | (kind == NOISY))
        noisy = kind[known] == NOISY
        error = np.where(noisy, queries.b[:, known], 0.0) if noisy.any() else np.zeros((1, len(known)))
        regression = Regression.on(self.mean, self.covariance, known, queries.a[:, known], error**2)
        log_weight = np.log(self.weight) - 0.5 * (regression.distance + regression.log_det)
        log_weight = log_weight - len(known) * normal.HALF_LOG_2PI
        cut = np.flatnonzero(kind == RANGE)
        ends = None
        if len(cut):
            ends = queries.a[:, cut[0]], queries.b[:, cut[0]]
        return ConditionalMixture(regression, log_weight, int(cut[0]) if len(cut) else None, ends)

    def marginals(self, queries: QueryBatch, targets: tuple[str, ...], seed: int = 0) -> dict[str, Marginal]:
        """In closed form, except for queries with an interval, which are counted from draws."""
        if (queries.kind == RANGE).any():
            return super().marginals(queries, targets, seed)
        parts = {name: np.empty((3 + len(QUANTILES), len(queries))) for name in targets}
        for q in range(len(queries)):
            conditional = self.condition(queries.take(slice(q, q + 1)))
            for name in targets:
                parts[name][:, q] = conditional.moments(self.schema.slices[name].start)
        return {n: Marginal(p[0], p[1], p[2], p[3:].T.copy(), rao_blackwell=True) for n, p in parts.items()}


@dataclass(frozen=True)
class ConditionalMixture:
    """Components given the points and readings, and the one column cut to `ends`."""

    regression: Regression
    before: np.ndarray
    cut: int | None
    ends: tuple[np.ndarray, np.ndarray] | None

    @property
    def log_weight(self) -> np.ndarray:
        """`[Q, K]` log p(k, evidence)."""
        return self.before if self.ends is None else self.before + normal.log_mass(*self._bounds())

    @property
    def log_evidence(self) -> np.ndarray:
        return logsumexp(self.log_weight)

    def draw(self, draws: int, rng: np.random.Generator) -> np.ndarray:
        k = choose(self.log_weight, draws, rng)
        q = np.arange(len(k))[:, None]
        mean, covariance = self.regression.mean[q, k], self.regression.covariance
        if self.cut is not None:
            c = self.cut
            low, high = (end[q, k] for end in self._bounds())
            z = normal.truncated(low, high, rng.random(k.shape))
            column = covariance[..., c] / np.sqrt(covariance[..., c, c])[..., None]
            covariance = covariance - column[..., :, None] * column[..., None, :]
            mean = mean + column[q if len(column) > 1 else 0, k] * z[..., None]
            assert self.ends is not None
            mean[..., c] = np.clip(mean[..., c], self.ends[0][:, None], self.ends[1][:, None])
            covariance[..., c, :] = covariance[..., :, c] = 0.0
        factor = root(covariance)
        noise = rng.standard_normal(mean.shape)
        for component in range(factor.shape[1]):
            of = factor[:, component]
            moved = noise @ np.swapaxes(of, -1, -2)
            at = k == component
            mean[at] += moved[at]
        return mean

    def moments(self, column: int) -> np.ndarray:
        """Mean, sd, 0 and the quantiles of one column of a single query."""
        weight = np.exp(self.log_weight[0] - self.log_evidence[0])
        loc = self.regression.mean[0, :, column]
        sd = np.sqrt(self.regression.covariance[0, :, column, column])
        mean = weight @ loc
        spread = np.sqrt(weight @ (sd**2 + (loc - mean) ** 2))
        low, high = np.full(len(QUANTILES), (loc - 9 * sd).min()), np.full(len(QUANTILES), (loc + 9 * sd).max())
        for _ in range(70):
            middle = 0.5 * (low + high)
            below = special.ndtr((middle[:, None] - loc) / np.maximum(sd, 1e-300)) @ weight < np.array(QUANTILES)
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return np.array([mean, spread, 0.0, *(0.5 * (low + high))])

    def _bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """The interval in standard units of each component, `[Q, K]` each."""
        assert self.ends is not None
        centre = self.regression.mean[..., self.cut]
        sd = np.sqrt(self.regression.covariance[..., self.cut, self.cut])
        return (self.ends[0][:, None] - centre) / sd, (self.ends[1][:, None] - centre) / sd
