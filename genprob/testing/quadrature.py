"""A mixture with known parameters whose every answer is found by brute force.

Nothing here knows how models or strategies work: conditionals come from quadrature over cells and intervals and from
sums over levels and counts. It is slow, and right: what answers exactly in closed form is tested against it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import interpolate, special, stats

from genprob.data.codec import encode
from genprob.data.schema import Schema, Variable
from genprob.data.support import Interval, Positive
from genprob.query.evidence import Equals, OneOf, Soft, Within, as_evidence

_NODES = 5
"""Gauss-Legendre nodes of a panel; panels are a fraction of the narrowest standard deviation wide."""
_REACH = 9.0
"""Standard deviations around the means that quadrature covers."""


@dataclass(frozen=True)
class Exact:
    """A conditional by brute force.

    Attributes:
        log_evidence: log density of points (data units) and log probability of sets.
        mean, sd: of a numeric target, data units; NaN for a categorical one.
        cdf: P(target <= value).
        pmf: of a categorical, binary or count target, by code.
    """

    log_evidence: float
    mean: float = np.nan
    sd: float = np.nan
    cdf: Callable[[Any], np.ndarray] | None = None
    pmf: np.ndarray | None = None


@dataclass(frozen=True)
class QuadratureMixture:
    """p(x) = sum_k p(k) N(line(x_reals); mean_k, covariance_k) |d line / dx| prod_j p(x_j | k), scalars only.

    `line` is the identity on reals, the log on positives and the logit on intervals. A variable measured in cells is
    such a real, rounded to its grid.

    Arguments:
        schema: scalar variables; `mean [K, d]` and `covariance [K, d, d]` follow its real ones in order.
        weight: p(k), `[K]`.
        levels: probabilities `[K, levels]` of each categorical or binary variable.
        counts: mean `[K]` and size `[K]` of each count's negative binomial law (variance m + m^2 / r).

    >>> from genprob.data.support import Real
    >>> schema = Schema((Variable("x", Real()), Variable("y", Real())))
    >>> joint = QuadratureMixture(schema, np.ones(1), np.zeros((1, 2)), np.array([[[1.0, 0.5], [0.5, 1.0]]]))
    >>> round(joint.answer("y", {"x": 2.0}).mean, 6)
    1.0
    """

    schema: Schema
    weight: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray
    levels: Mapping[str, np.ndarray] = field(default_factory=dict)
    counts: Mapping[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    @property
    def reals(self) -> list[Variable]:
        return [v for v in self.schema if not v.discrete]

    def sample(self, draws: int, rng: np.random.Generator) -> np.ndarray:
        """Rows `[draws, variables]`: data units, cells at their table values, categories as codes."""
        k = rng.choice(len(self.weight), draws, p=self.weight)
        out = np.empty((draws, len(self.schema)))
        z = np.empty((draws, len(self.reals)))
        for component in range(len(self.weight)):
            at = k == component
            if self.reals:
                z[at] = rng.multivariate_normal(self.mean[component], self.covariance[component], int(at.sum()))
        for j, variable in enumerate(self.schema):
            if variable.name in self.levels:
                cumulative = self.levels[variable.name].cumsum(1)[:, :-1][k]
                out[:, j] = (rng.random((draws, 1)) > cumulative).sum(1)
            elif variable.name in self.counts:
                mean, size = self.counts[variable.name]
                out[:, j] = rng.poisson(rng.gamma(size[k], (mean / size)[k]))
            else:
                x = unline(variable, z[:, self._position(variable.name)])
                out[:, j] = x if variable.cell is None else variable.cell.snap(x)
        return out

    def answer(self, target: str | None, given: Mapping[str, Any]) -> Exact:
        """p(target | given) and the log-evidence, by quadrature over at most three real dimensions."""
        evidence = {name: as_evidence(value) for name, value in given.items()}
        wanted = None if target is None else self.schema[target]
        log_weight = np.log(self.weight)
        for name, value in evidence.items():
            if name in self.levels:
                log_weight = log_weight + np.log(self.levels[name] @ self._level_likelihood(self.schema[name], value))
            elif name in self.counts:
                log_weight = log_weight + self._count_evidence(name, value)
        real = [v for v in self.reals if v.name in evidence or v.name == target]
        position = [self._position(v.name) for v in real]
        detail = self._detail(position)
        rules = [self._rule(v, evidence.get(v.name), d) for v, d in zip(real, detail, strict=True)]
        mass = self._masses(real, rules, log_weight)  # [K, *nodes]
        total = mass.sum()
        share = mass.reshape(len(self.weight), -1).sum(1) / total
        log_evidence = float(np.log(total))
        if wanted is None:
            return Exact(log_evidence)
        if target in self.levels:
            pmf = share @ self.levels[str(target)]
            mean = float(pmf[1]) if wanted.support.kind == "binary" else np.nan
            sd = float(np.sqrt(mean * (1 - mean)))
            return Exact(log_evidence, mean, sd, lambda v: pmf.cumsum()[np.asarray(v, int)], pmf)
        if target in self.counts:
            mean, size = self.counts[str(target)]
            n, law = _count_law(mean, size)
            pmf = share @ law
            centre = float(pmf @ n)
            return Exact(log_evidence, centre, float(np.sqrt(pmf @ (n - centre) ** 2)),
                         lambda v: pmf.cumsum()[np.asarray(v, int)], pmf)  # fmt: skip
        axis = [v.name for v in real].index(str(target))
        probability = mass.sum(tuple(i for i in range(mass.ndim) if i != axis + 1)) / total
        return self._of_real(wanted, rules[axis], probability, log_evidence)

    # --- inside

    def _position(self, name: str) -> int:
        return [v.name for v in self.reals].index(name)

    def _detail(self, position: list[int]) -> np.ndarray:
        """Over how much of each of these reals the joint density changes: its spread, or twice that given the rest."""
        covariance = self.covariance[:, position][:, :, position]
        if not position:
            return np.zeros(0)
        alone = np.diagonal(covariance, axis1=1, axis2=2)
        given = 1 / np.diagonal(np.linalg.inv(covariance), axis1=1, axis2=2)
        return np.sqrt(np.minimum(alone, 4 * given).min(0))

    def _level_likelihood(self, variable: Variable, evidence: Any) -> np.ndarray:
        out = np.zeros(variable.cardinality or 0)
        match evidence:
            case Equals(value):
                out[int(encode(self.schema, variable.name, value)[0])] = 1.0
            case OneOf(values):
                for value in values:
                    out[int(encode(self.schema, variable.name, value)[0])] = 1.0
            case Soft(value):
                for label, likelihood in value.items():  # pyright: ignore[reportAttributeAccessIssue]
                    out[int(encode(self.schema, variable.name, label)[0])] = likelihood
        return out

    def _count_evidence(self, name: str, evidence: Any) -> np.ndarray:
        mean, size = self.counts[name]
        n, law = _count_law(mean, size)
        match evidence:
            case Equals(value):
                likelihood = n == value
            case OneOf(values):
                likelihood = np.isin(n, values)
            case Within(lo, hi):
                likelihood = (n >= (-np.inf if lo is None else lo)) & (n <= (np.inf if hi is None else hi))
            case Soft(value, sd):
                likelihood = stats.norm.pdf(value, n, sd)
            case _:
                raise TypeError(evidence)
        return np.log(law @ likelihood)

    def _rule(self, variable: Variable, evidence: Any, detail: float) -> _Rule:
        """Nodes close enough for a density that varies over `detail`."""
        position = self._position(variable.name)
        spread = np.sqrt(self.covariance[:, position, position])
        ends = [
            float((self.mean[:, position] - _REACH * spread).min()),
            float((self.mean[:, position] + _REACH * spread).max()),
        ]
        cell = variable.cell
        if cell is not None:
            first, last = (float(cell.index(unline(variable, np.array(end)))) for end in ends)
            values = cell.value(np.arange(first, last + 1))
            match evidence:
                case Equals(value):
                    values = np.array([cell.snap(np.array(float(value)))])
                case OneOf(chosen):
                    values = np.unique(cell.snap(np.array(chosen, dtype=float)))
                case Within(lo, hi):
                    low, high = -np.inf if lo is None else lo, np.inf if hi is None else hi
                    values = values[(values >= low - 1e-9 * cell.delta) & (values <= high + 1e-9 * cell.delta)]
                case Soft():
                    low, high = _reach(evidence)
                    values = values[(values >= low - cell.delta) & (values <= high + cell.delta)]
            below, above = (line(variable, values + s * cell.delta / 2) for s in (-1, 1))
            below, above = np.maximum(below, ends[0] - 1.0), np.minimum(above, ends[1] + 1.0)
            pieces = np.ceil((above - below).clip(min=1e-12) / (0.8 * detail)).astype(int)
            cuts = [np.linspace(a, b, n + 1) for a, b, n in zip(below, above, pieces, strict=True)]
            rule = _panels(np.concatenate([np.stack([c[:-1], c[1:]], 1) for c in cuts]), _NODES)
            x = np.repeat(values, pieces * _NODES)
            return _Rule(rule.z, rule.w * _reading(x, evidence), x, None)
        match evidence:
            case Equals(value):
                x, h = float(value), 1e-6 * max(1e-3, abs(float(value)))
                slope = (line(variable, np.array(x + h)) - line(variable, np.array(x - h))) / (2 * h)
                z = np.atleast_1d(line(variable, np.array(x)))
                return _Rule(z, np.atleast_1d(slope), np.atleast_1d(x), None)
            case Within(lo, hi):
                low = -np.inf if lo is None else float(line(variable, np.array(float(lo))))
                high = np.inf if hi is None else float(line(variable, np.array(float(hi))))
                ends = [max(ends[0], low), min(ends[1], high)] if low < ends[1] and high > ends[0] else [low, high]
            case Soft():
                around = line(variable, np.array(_reach(evidence)))
                ends = [max(ends[0], float(around[0])), min(ends[1], float(around[1]))]
                detail = min(detail, (ends[1] - ends[0]) / 6)
        fineness = min(0.15 * spread.min(), 0.8 * detail) if evidence is None else 0.8 * detail
        panels = int(np.clip(np.ceil((ends[1] - ends[0]) / fineness), 4, 600))
        edges = np.linspace(ends[0], ends[1], panels + 1)
        rule = _panels(np.stack([edges[:-1], edges[1:]], 1), _NODES)
        x = unline(variable, rule.z)
        return _Rule(rule.z, rule.w * _reading(x, evidence), x, unline(variable, edges))

    def _masses(self, real: list[Variable], rules: list[_Rule], log_weight: np.ndarray) -> np.ndarray:
        position = [self._position(v.name) for v in real]
        d = len(rules)
        out = []
        for k, log_w in enumerate(log_weight):
            covariance = self.covariance[k][np.ix_(position, position)]
            precision = np.linalg.inv(covariance) if d else covariance
            away = [_along(rule.z - self.mean[k][position[i]], i, d) for i, rule in enumerate(rules)]
            square = sum(precision[i, j] * away[i] * away[j] for i in range(d) for j in range(d)) + np.zeros(1)
            norm = np.linalg.slogdet(2 * np.pi * covariance)[1] if d else 0.0
            density = np.exp(log_w - 0.5 * (square + norm))
            for i, rule in enumerate(rules):
                density = density * _along(rule.w, i, d)
            out.append(density)
        return np.stack(out)

    def _of_real(self, variable: Variable, rule: _Rule, probability: np.ndarray, log_evidence: float) -> Exact:
        mean = float(probability @ rule.x)
        sd = float(np.sqrt(probability @ (rule.x - mean) ** 2))
        if rule.edges is None:
            values, at = np.unique(rule.x, return_inverse=True)
            cumulative = np.bincount(at, probability).cumsum()

            def stepped(v: Any) -> np.ndarray:
                index = np.searchsorted(values, np.asarray(v, dtype=float) + 1e-9, side="right")
                return np.concatenate([[0.0], cumulative])[index]

            return Exact(log_evidence, mean, sd, stepped)
        cumulative = np.concatenate([[0.0], probability.reshape(-1, _NODES).sum(1).cumsum()])
        edges = line(variable, rule.edges)
        finite = np.isfinite(edges)
        smooth = interpolate.PchipInterpolator(edges[finite], cumulative[finite])
        return Exact(log_evidence, mean, sd, lambda v: smooth(line(variable, np.asarray(v, dtype=float))))


@dataclass(frozen=True)
class _Rule:
    """Quadrature along one real: nodes on the line, weights (times likelihood), data values, edges of panels."""

    z: np.ndarray
    w: np.ndarray
    x: np.ndarray
    edges: np.ndarray | None


def _along(values: np.ndarray, axis: int, dims: int) -> np.ndarray:
    return values.reshape([-1 if i == axis else 1 for i in range(dims)])


def _panels(edges: np.ndarray, nodes: int) -> _Rule:
    at, share = np.polynomial.legendre.leggauss(nodes)
    half = (edges[:, 1] - edges[:, 0]).clip(min=0)[:, None] / 2
    z = (edges.sum(1)[:, None] / 2 + half * at).ravel()
    return _Rule(z, (half * share).ravel(), z, None)


def _count_law(mean: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values that counts take and their probabilities `[K, values]`."""
    p = size / (size + mean)
    n = np.arange(int(stats.nbinom.ppf(1 - 1e-15, size, p).max()) + 500)
    return n, stats.nbinom.pmf(n, size[:, None], p[:, None])


def _reach(reading: Soft) -> tuple[float, float]:
    """Between which values a reading says something."""
    if isinstance(reading.value, Mapping) or reading.sd is None:
        raise TypeError(reading)
    return reading.value - _REACH * reading.sd, reading.value + _REACH * reading.sd


def _reading(x: np.ndarray, evidence: Any) -> np.ndarray:
    return stats.norm.pdf(evidence.value, x, evidence.sd) if isinstance(evidence, Soft) else np.ones_like(x)


def line(variable: Variable, x: np.ndarray) -> np.ndarray:
    """Data units to the line; values outside the support go to its ends."""
    with np.errstate(divide="ignore"):
        match variable.support:
            case Positive():
                return np.log(np.maximum(x, 0.0))
            case Interval(lo, hi):
                return special.logit(np.clip((x - lo) / (hi - lo), 0.0, 1.0))
            case _:
                return np.asarray(x, dtype=float)


def unline(variable: Variable, z: np.ndarray) -> np.ndarray:
    """The line to data units."""
    match variable.support:
        case Positive():
            return np.exp(z)
        case Interval(lo, hi):
            return lo + (hi - lo) * special.expit(z)
        case _:
            return np.asarray(z, dtype=float)
