"""Trees of scalars with nonlinear means and Gaussian noise, answered by sum-product on a grid."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from genprob.query.batch import NOISY, NOTHING, POINT, RANGE, QueryBatch
from genprob.query.evidence import Equals, Soft, Within
from genprob.testing import normal
from genprob.testing.choice import along, logsumexp
from genprob.testing.joints.gaussian_mixture import reals
from genprob.testing.joints.leaves import drawn
from genprob.testing.reference import ReferenceJoint

if TYPE_CHECKING:
    from torch import Tensor

_LOBATTO = np.array([-1.0, -np.sqrt(3 / 7), 0.0, np.sqrt(3 / 7), 1.0]), np.array([9, 49, 64, 49, 9]) / 90
"""Nodes and weights of the five-point rule, which has a node at either end: panels share them."""
_READ = 9.0
"""Standard deviations around a noisy reading of an inner node that are integrated."""
_EXCESS = 1.6
"""Bound on a density over what is drawn from, in the rejection step that makes draws of the grid exact."""
_FLOATS = 1_000_000
"""Numbers held at once."""


def identity(x: np.ndarray) -> np.ndarray:
    """A node's mean is its parent's value."""
    return x


@dataclass(frozen=True)
class Node:
    """x ~ N(mean(parent), sd), or N(0, sd) where there is no parent."""

    name: str
    sd: float
    parent: str | None = None
    mean: Callable[[np.ndarray], np.ndarray] = identity


@dataclass(frozen=True)
class Rule:
    """Quadrature along one inner node: `nodes`, `log_weight`, `[Q or 1, G]`; `regular` on the tree's own grid."""

    nodes: np.ndarray
    log_weight: np.ndarray
    regular: bool = False


class GaussianTree(ReferenceJoint):
    """A tree of scalars, x_j ~ N(f_j(x_parent), s_j), for any smooth f_j.

    Inner nodes are integrated on a grid, leaves in closed form given their parent. Inner nodes that nothing cuts take
    the trapezoidal rule, whose error for smooth integrands that vanish at the ends falls as exp(-2 (pi w / h)^2) for
    features of width w and step h; cut ones take five-point Lobatto panels two steps wide. Draws go from the root
    down: a draw of the piecewise linear density on the grid, corrected by rejection against the density itself.

    Arguments:
        nodes: parents before children; the variables, in this order unless `order` says otherwise.
        reach: the grid of inner nodes is [-reach, reach].
        step: its step h.
        order: names of the variables, in the order of the schema.

    Attributes:
        nodes: name -> node.
        inner: names of the nodes that have children, and of roots, parents first.

    >>> joint = GaussianTree([Node("a", 1.0), Node("b", 0.5, "a", np.sin)])
    >>> joint.log_prob([[0.2, float("nan")]]).round(4).item()
    -0.9389
    """

    def __init__(
        self, nodes: Iterable[Node], *, reach: float = 10.0, step: float = 0.04, order: Iterable[str] | None = None
    ) -> None:
        self.nodes = {node.name: node for node in nodes}
        names = list(self.nodes) if order is None else list(order)
        self.schema = reals(len(names), names)
        self.reach, self.step = reach, step
        self.accuracy = f"log-evidence 1e-7, draws 1e-4 in total variation (grid of step {step:g} on +-{reach:g})"
        parents = {node.parent for node in self.nodes.values()}
        self.inner = [n for n, node in self.nodes.items() if n in parents or node.parent is None]
        self._column = {name: self.schema.slices[name].start for name in names}
        self._transition: dict[tuple[Callable[[np.ndarray], np.ndarray], float], np.ndarray] = {}

    @cached_property
    def grid(self) -> np.ndarray:
        """The nodes of inner variables that nothing cuts."""
        return np.linspace(-self.reach, self.reach, 2 * round(self.reach / self.step) + 1)

    def kinds(self, variable: str) -> frozenset[type]:
        return frozenset({Equals, Within, Soft})

    def inexact(self, queries: QueryBatch) -> list[str]:
        """Evidence from beyond the grid is refused."""
        out = super().inexact(queries)
        numbers = (queries.kind == POINT) | (queries.kind == NOISY)
        for name, node in self.nodes.items():
            j = self._column[name]
            low, high = self._within(node)
            a, b = queries.a[:, j], np.where(numbers[:, j], queries.a[:, j], queries.b[:, j])
            far = (queries.kind[:, j] != NOTHING) & ((b < low) | (a > high))
            for q in np.flatnonzero(far):
                out[q] = out[q] or f"the value of {name!r} lies beyond the grid on +-{self.reach:g}"
        return out

    def log_joint(self, values: Tensor) -> Tensor:
        """log p of complete rows, which need not lie on the grid."""
        rows = values.detach().cpu().numpy()
        out = np.zeros(rows.shape[:-1])
        for name, node in self.nodes.items():
            centre = 0.0 if node.parent is None else node.mean(rows[..., self._column[node.parent]])
            out += normal.log_density(rows[..., self._column[name]], centre, node.sd)
        return values.new_tensor(out)

    def condition(self, queries: QueryBatch) -> ConditionalTree:
        return ConditionalTree(self, queries)

    def children(self, name: str, *, inner: bool) -> list[Node]:
        """The children of a node that are inner nodes, or those that are leaves."""
        return [n for n in self.nodes.values() if n.parent == name and (n.name in self.inner) == inner]

    def transition(self, node: Node) -> np.ndarray:
        """N(child; mean(parent), sd) on the grid, `[parent, child]`."""
        key = node.mean, node.sd
        if key not in self._transition:
            log_density = normal.log_density(self.grid, node.mean(self.grid)[:, None], node.sd)
            self._transition[key] = _exp(log_density)
        return self._transition[key]

    def rule(self, queries: QueryBatch, name: str) -> Rule:
        """The rule of an inner node under its evidence."""
        j = self._column[name]
        kind, a, b = queries.kind[0, j], queries.a[:, j], queries.b[:, j]
        if kind != NOTHING and (a == a[0]).all() and ((b == b[0]).all() or kind == POINT):
            a, b = a[:1], b[:1]  # one rule for all queries
        if kind == NOTHING:
            return Rule(self.grid[None], np.full((1, len(self.grid)), np.log(self.step)), True)
        if kind == POINT:
            return Rule(a[:, None], np.zeros((len(a), 1)))
        panel = 2 * self.step
        if kind == NOISY:
            panel = min(panel, float(b.min()))
            a, b = a - _READ * b, a + _READ * b
        low, high = np.clip(a, -self.reach, self.reach), np.clip(b, -self.reach, self.reach)
        panels = max(2, int(np.ceil((high - low).max() / panel)))
        width = ((high - low) / panels)[:, None]
        at, share = _LOBATTO
        inside = (at[1:] + 1) / 2 + np.arange(panels)[:, None]
        nodes = np.concatenate([low[:, None], low[:, None] + width * inside.reshape(-1)], 1)
        weight = np.zeros(nodes.shape[1])
        for i in range(5):
            weight[i : i + 4 * panels : 4] += share[i] / 2
        with np.errstate(divide="ignore"):
            return Rule(nodes, np.log(weight * width))

    def leaf_log_likelihood(self, queries: QueryBatch, leaf: Node, parent: np.ndarray) -> np.ndarray:
        """log p(evidence of a leaf | its parent) at `parent [Q or 1, G]`."""
        j = self._column[leaf.name]
        kind, a, b = queries.kind[0, j], queries.a[:, j, None], queries.b[:, j, None]
        mean = leaf.mean(parent)
        if kind == POINT:
            return normal.log_density(a, mean, leaf.sd)
        if kind == RANGE:
            return normal.log_mass((a - mean) / leaf.sd, (b - mean) / leaf.sd)
        if kind == NOISY:
            return normal.log_density(a, mean, np.hypot(leaf.sd, b))
        return np.zeros((1, 1))

    def known(self, queries: QueryBatch, name: str, x: np.ndarray) -> np.ndarray:
        """log-likelihood at `x [Q or 1, n]` of a reading of an inner node and of the evidence on its leaves."""
        j = self._column[name]
        out = np.zeros((1, 1))
        if queries.kind[0, j] == NOISY:
            out = normal.log_density(queries.a[:, j, None], x, queries.b[:, j, None])
        for leaf in self.children(name, inner=False):
            out = out + self.leaf_log_likelihood(queries, leaf, x)
        return np.broadcast_to(out, np.broadcast_shapes(out.shape, x.shape))

    def _within(self, node: Node) -> tuple[float, float]:
        """Between which values of a node the grid holds what matters."""
        if node.name in self.inner:
            margin = 6 * max(n.sd for n in self.nodes.values() if n.name in self.inner)
            return margin - self.reach, self.reach - margin
        mean = node.mean(self.grid)
        ends = mean[[0, -1]]
        low = float(mean.min()) if ends.min() <= mean.min() else -np.inf  # else it is not the grid that ends there
        return low, float(mean.max()) if ends.max() >= mean.max() else np.inf


class ConditionalTree:
    """Messages from the leaves to the root, and draws from the root to the leaves."""

    def __init__(self, tree: GaussianTree, queries: QueryBatch) -> None:
        self.tree, self.queries = tree, queries
        self.rules = {name: tree.rule(queries, name) for name in tree.inner}
        self.messages: dict[str, np.ndarray] = {}  # child -> log message at its parent's nodes, [Q or 1, G]
        self.belief: dict[str, np.ndarray] = {}  # log of all that is known at and below a node, at its nodes
        self.informed: set[str] = set()
        for name in reversed(tree.inner):
            self._gather(tree.nodes[name])
        self.log_evidence = np.zeros(len(queries))
        for name in tree.inner:
            node, rule = tree.nodes[name], self.rules[name]
            if node.parent is None and name in self.informed:
                prior = normal.log_density(rule.nodes, 0.0, node.sd)
                self.log_evidence += logsumexp(prior + rule.log_weight + self.belief[name])

    def draw(self, draws: int, rng: np.random.Generator) -> np.ndarray:
        out = np.empty((len(self.queries), draws, self.queries.schema.width))
        flat = out.reshape(-1, out.shape[2])
        query = np.repeat(np.arange(len(out)), draws)
        for name, node in self.tree.nodes.items():
            j = self.queries.schema.slices[name].start
            mean = np.zeros(len(flat))
            if node.parent is not None:
                mean = node.mean(flat[:, self.queries.schema.slices[node.parent].start])
            kind = self.queries.kind[0, j]
            if kind == POINT or name not in self.rules or name not in self.informed:
                a, b = self.queries.a[query, j], self.queries.b[query, j]
                flat[:, j] = drawn(kind, a, b, mean, node.sd, rng)
            else:
                flat[:, j] = self._draw_inner(node, query, mean, rng)
        return out

    def _gather(self, node: Node) -> None:
        """What is known at and below a node, and its message upwards."""
        tree, rule, name = self.tree, self.rules[node.name], node.name
        below = tree.children(name, inner=True)
        column = self.queries.schema.slices
        own = [name, *(leaf.name for leaf in tree.children(name, inner=False))]
        if any(self.queries.kind[0, column[n].start] != NOTHING for n in own):
            self.informed.add(name)
        belief = tree.known(self.queries, name, rule.nodes)
        for child in below:
            if child.name in self.informed:
                belief = belief + self.messages[child.name]
                self.informed.add(name)
        self.belief[name] = belief
        if node.parent is not None and name in self.informed:
            self.messages[name] = self._message(node, rule, belief)

    def _message(self, node: Node, rule: Rule, belief: np.ndarray) -> np.ndarray:
        """log of the integral of N(x; mean(parent), sd) exp(belief(x)) at the parent's nodes."""
        assert node.parent is not None
        parent = self.rules[node.parent]
        mean, weighted = node.mean(parent.nodes), rule.log_weight + belief
        if len(rule.nodes) == len(mean) == 1 and len(belief) > 1:
            regular = rule.regular and parent.regular
            peak = weighted.max(1, keepdims=True)
            transition = (
                self.tree.transition(node)
                if regular
                else _exp(normal.log_density(rule.nodes, mean[0][:, None], node.sd))
            )
            return np.log(np.maximum(_exp(weighted - peak) @ transition.T, 1e-300)) + peak
        queries = max(len(weighted), len(mean))
        step = max(1, _FLOATS // (mean.shape[1] * weighted.shape[1]))
        parts = []
        for first in range(0, queries, step):
            at = slice(first, first + step)
            x, w, m = (v[at] if len(v) > 1 else v for v in (rule.nodes, weighted, mean))
            terms = normal.log_density(x[:, None], m[:, :, None], node.sd) + w[:, None]
            parts.append(terms[..., 0] if terms.shape[2] == 1 else logsumexp(terms))
        return np.concatenate(parts)

    def _draw_inner(self, node: Node, query: np.ndarray, mean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draws of p(x | parent, evidence below) for the queries `query [n]` and prior means `mean [n]`.

        Means are rounded so that few densities serve many draws; the rejection step takes rounding and
        interpolation back.
        """
        out = np.empty(len(query))
        coarse = np.rint(mean / (0.1 * node.sd))
        pairs, row = np.unique(np.stack([query, coarse], 1), axis=0, return_inverse=True)
        row = row.reshape(-1)
        size = max(1, _FLOATS // self.rules[node.name].nodes.shape[1])
        for first in range(0, len(pairs), size):
            part = pairs[first : first + size]
            at = np.flatnonzero((row >= first) & (row < first + len(part)))
            centre = part[:, 1] * 0.1 * node.sd
            out[at] = self._reject(node, part[:, 0].astype(int), centre, row[at] - first, mean[at], rng)
        return out

    def _reject(
        self, node: Node, query: np.ndarray, centre: np.ndarray, row: np.ndarray, mean: np.ndarray,
        rng: np.random.Generator,
    ) -> np.ndarray:  # fmt: skip
        """Draws for rows of densities with prior mean `centre [R]`, accepted for their own prior mean `mean [n]`."""
        rule, belief = self.rules[node.name], self.belief[node.name]
        nodes = _rows(rule.nodes, query)
        log_density = normal.log_density(nodes, centre[:, None], node.sd) + _rows(belief, query)
        log_peak = log_density.max(1, keepdims=True)
        density = np.exp(log_density - log_peak)
        out = np.empty(len(row))
        left = np.arange(len(row))
        while len(left):
            x, proposed = along(nodes, density, row[left], rng.random((2, len(left))))
            out[left] = x
            log_target = normal.log_density(x, mean[left], node.sd) + self._belief_at(node, query[row[left]], x)
            ratio = np.exp(log_target - log_peak[row[left], 0]) / np.maximum(proposed, 1e-300)
            left = left[rng.random(len(left)) * _EXCESS > ratio]
        return out

    def _belief_at(self, node: Node, query: np.ndarray, x: np.ndarray) -> np.ndarray:
        """log of all that is known at and below a node at `x [n]`, for the queries `query [n]`."""
        out = self.tree.known(self.queries.take(query), node.name, x[:, None])[:, 0]
        messages = [self.messages[c.name] for c in self.tree.children(node.name, inner=True) if c.name in self.informed]
        if messages:
            out = out + _interpolate(self.rules[node.name].nodes, sum(messages[1:], messages[0]), query, x)
        return out


def _exp(x: np.ndarray) -> np.ndarray:
    """exp, 0 below 1e-140: products of smaller numbers are subnormal, and slow."""
    return np.where(x < -322.0, 0.0, np.exp(x))


def _rows(values: np.ndarray, query: np.ndarray) -> np.ndarray:
    return values[query] if len(values) > 1 else np.broadcast_to(values, (len(query), values.shape[1]))


def _interpolate(nodes: np.ndarray, values: np.ndarray, row: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Cubic interpolation at `x [n]` of the row's `values [R or 1, G]` at ascending `nodes [R or 1, G]`."""
    if len(nodes) == 1:
        at = np.searchsorted(nodes[0], x)
    else:
        low = nodes[:, :1]
        span = np.maximum(nodes[:, -1:] - low, 1e-300)
        flat = ((nodes - low) / span + 2 * np.arange(len(nodes))[:, None]).reshape(-1)
        at = np.searchsorted(flat, (x - low[row, 0]) / span[row, 0] + 2 * row) - row * nodes.shape[1]
    first = np.clip(at - 2, 0, nodes.shape[1] - 4)
    stencil = first[:, None] + np.arange(4)
    z = nodes[row[:, None] if len(nodes) > 1 else 0, stencil]
    y = values[row[:, None] if len(values) > 1 else 0, stencil]
    out = np.zeros(len(x))
    for i in range(4):
        others = [k for k in range(4) if k != i]
        out += y[:, i] * np.prod([(x - z[:, k]) / (z[:, i] - z[:, k]) for k in others], axis=0)
    return out


def benchmark_tree() -> GaussianTree:
    """The tree of Gloeckler et al. (2024, All-in-one simulation-based inference): 3 inner nodes, 4 leaves."""
    return GaussianTree(
        [
            Node("theta1", 1.0),
            Node("theta2", 1.0, "theta1"),
            Node("theta3", 1.0, "theta1"),
            Node("x1", 0.2, "theta2", _sine_squared),
            Node("x2", 0.2, "theta2", _tenth_square),
            Node("x3", 0.6, "theta3", _tenth_square),
            Node("x4", 0.1, "theta3", _cosine_squared),
        ],
        reach=14.0,
        step=0.05,
    )


def benchmark_hmm(steps: int = 10) -> GaussianTree:
    """Their hidden Markov chain: theta_i ~ N(theta_{i-1}, 0.5), x_i ~ N(theta_i^2, 0.5), all thetas first."""
    chain = [Node(f"theta{i}", 0.5, f"theta{i - 1}" if i else None) for i in range(steps)]
    read = [Node(f"x{i}", 0.5, f"theta{i}", np.square) for i in range(steps)]
    return GaussianTree([*chain, *read], reach=11.0)


def _sine_squared(x: np.ndarray) -> np.ndarray:
    return np.sin(x) ** 2


def _cosine_squared(x: np.ndarray) -> np.ndarray:
    return np.cos(x) ** 2


def _tenth_square(x: np.ndarray) -> np.ndarray:
    return 0.1 * x**2
