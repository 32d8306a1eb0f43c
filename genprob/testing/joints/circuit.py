"""Probabilistic circuits over mixed types: sums of products of one-variable laws, exact for every kind of evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from genprob.data.measure import Cell
from genprob.data.schema import Schema, Variable
from genprob.data.support import Binary, Categorical, Count, Positive, Real
from genprob.errors import UsageError
from genprob.query.batch import QueryBatch
from genprob.query.evidence import Equals, OneOf, Soft, Within
from genprob.testing.choice import logsumexp, pick
from genprob.testing.joints.leaves import Counts, Law, Levels, LogNormal, Normal
from genprob.testing.reference import ReferenceJoint

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Leaf:
    """One variable with its law."""

    variable: str
    law: Law


@dataclass(frozen=True, eq=False)
class Product:
    """Children over disjoint variables, independent of one another."""

    children: tuple[Node, ...]


@dataclass(frozen=True, eq=False)
class Sum:
    """A mixture of children over the same variables."""

    weights: tuple[float, ...]
    children: tuple[Node, ...]


Node = Leaf | Product | Sum


class Circuit(ReferenceJoint):
    """p(x) by a tree of sums and products over one-variable leaves (Poon and Domingos 2011, Sum-product networks).

    Evidence of every kind multiplies its leaf by a likelihood that is summed or integrated there, one pass upwards
    gives the log-evidence, and one pass downwards, choosing the children of sums by their posterior weights, a draw.

    Arguments:
        variables: scalars; a real may be measured in cells.
        root: the circuit; every sum's children have the same variables, every product's different ones.

    >>> leaves = [Leaf("x", Normal(m, 1.0)) for m in (-1.0, 1.0)]
    >>> joint = Circuit([Variable("x", Real())], Sum((0.5, 0.5), tuple(leaves)))
    >>> joint.log_prob([[0.0]]).round(4).item()
    -1.4189
    """

    accuracy = "rounding error; readings of positives by quadrature, 1e-9"

    def __init__(self, variables: Sequence[Variable], root: Node) -> None:
        self.schema, self.root = Schema(tuple(variables)), root
        if _scope(root) != set(self.schema.names):
            raise UsageError(f"the circuit is over {sorted(_scope(root))}, the schema over {list(self.schema.names)}")

    def kinds(self, variable: str) -> frozenset[type]:
        support, cell = self.schema[variable].support, self.schema[variable].cell
        if isinstance(support, (Categorical, Binary)):
            return frozenset({Equals, OneOf, Soft})
        return frozenset({Equals, Within, Soft} | ({OneOf} if isinstance(support, Count) or cell else set()))

    def log_joint(self, values: Tensor) -> Tensor:
        """log p of complete rows, without a list of anything."""
        rows = values.detach().cpu().numpy()

        def up(node: Node) -> np.ndarray:
            if isinstance(node, Leaf):
                j = self.schema.slices[node.variable].start
                return node.law.log_prob(rows[..., j], self.schema.columns[j].cell)
            below = np.stack([up(child) for child in node.children], -1)
            return below.sum(-1) if isinstance(node, Product) else logsumexp(np.log(node.weights) + below)

        return values.new_tensor(up(self.root))

    def condition(self, queries: QueryBatch) -> ConditionalCircuit:
        values: dict[int, np.ndarray] = {}
        self._up(self.root, queries, values)
        return ConditionalCircuit(self, queries, values)

    def _up(self, node: Node, queries: QueryBatch, values: dict[int, np.ndarray]) -> np.ndarray:
        """log p(evidence below the node), `[Q]`, noted in `values`."""
        if isinstance(node, Leaf):
            out = node.law.log_evidence(queries, self.schema.slices[node.variable].start)
        elif isinstance(node, Product):
            out = sum((self._up(child, queries, values) for child in node.children), np.zeros(len(queries)))
        else:
            below = np.stack([self._up(child, queries, values) for child in node.children], 1)
            out = logsumexp(np.log(node.weights) + below)
        values[id(node)] = out
        return out


@dataclass(frozen=True)
class ConditionalCircuit:
    """A circuit whose nodes (by id) hold the log-evidence `[Q]` below them."""

    circuit: Circuit
    queries: QueryBatch
    values: dict[int, np.ndarray]

    @property
    def log_evidence(self) -> np.ndarray:
        return self.values[id(self.circuit.root)]

    def draw(self, draws: int, rng: np.random.Generator) -> np.ndarray:
        out = np.empty((len(self.queries) * draws, self.circuit.schema.width))
        self._down(self.circuit.root, np.arange(len(out)), np.repeat(np.arange(len(self.queries)), draws), out, rng)
        return out.reshape(len(self.queries), draws, -1)

    def _down(self, node: Node, rows: np.ndarray, query: np.ndarray, out: np.ndarray, rng: np.random.Generator) -> None:
        """Fills the node's variables in `rows`, which are draws for the queries `query`."""
        if isinstance(node, Leaf):
            column = self.circuit.schema.slices[node.variable].start
            out[rows, column] = node.law.draw(self.queries, column, query, rng)
        elif isinstance(node, Product):
            for child in node.children:
                self._down(child, rows, query, out, rng)
        else:
            below = np.stack([self.values[id(child)] for child in node.children], 1) + np.log(node.weights)
            peak = below.max(1, keepdims=True)
            weight = np.exp(below - np.where(np.isfinite(peak), peak, 0.0))
            chosen = pick(weight, query, rng.random(len(rows)))
            for i, child in enumerate(node.children):
                self._down(child, rows[chosen == i], query[chosen == i], out, rng)


def _scope(node: Node) -> set[str]:
    if isinstance(node, Leaf):
        return {node.variable}
    scopes = [_scope(child) for child in node.children]
    union = set().union(*scopes)
    if isinstance(node, Product) and sum(map(len, scopes)) != len(union):
        raise UsageError(f"a product's children share a variable: {[sorted(s) for s in scopes]}")
    if isinstance(node, Sum) and any(s != union for s in scopes):
        raise UsageError(f"a sum's children have different variables: {[sorted(s) for s in scopes]}")
    return union


def mixed() -> Circuit:
    """A circuit over a real, a positive, rounded cells, a category, a count and a binary, two sums deep."""
    variables = (
        Variable("x", Real()),
        Variable("p", Positive()),
        Variable("c", Real(), Cell(0.5)),
        Variable("g", Categorical(("a", "b", "c"))),
        Variable("n", Count()),
        Variable("f", Binary()),
    )

    def pair(x: float, g: tuple[float, ...]) -> Node:
        return Product((Leaf("x", Normal(x, 0.8)), Leaf("g", Levels(g))))

    def rest(p: float, c: float, n: float, f: float) -> Node:
        return Product(
            (
                Product((Leaf("p", LogNormal(p, 0.5)), Leaf("n", Counts(stats.poisson(n))))),
                Sum(
                    (0.7, 0.3),
                    (
                        Product((Leaf("c", Normal(c, 0.6)), Leaf("f", Levels((1 - f, f))))),
                        Product((Leaf("c", Normal(c + 2, 1.2)), Leaf("f", Levels((f, 1 - f))))),
                    ),
                ),
            )
        )

    left = Product((Sum((0.6, 0.4), (pair(-1.5, (0.7, 0.2, 0.1)), pair(0.5, (0.1, 0.8, 0.1)))), rest(0.0, -1, 2, 0.9)))
    right = Product((Sum((0.5, 0.5), (pair(2.0, (0.2, 0.2, 0.6)), pair(0.0, (0.3, 0.4, 0.3)))), rest(1.0, 1, 7, 0.2)))
    return Circuit(variables, Sum((0.55, 0.45), (left, right)))
