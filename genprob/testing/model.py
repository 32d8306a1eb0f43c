"""A reference joint in a model's clothes: the capabilities that queries ask for, answered by the reference."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from genprob.data.batch import Batch
from genprob.joint import Joint
from genprob.model import Model
from genprob.query.batch import NOTHING, QueryBatch, alike
from genprob.query.weighted_rows import WeightedRows
from genprob.results.record import Marginal
from genprob.testing.likelihood import log_likelihood
from genprob.testing.reference import ReferenceJoint


class ReferenceModel(Model):
    """Conditions exactly where its reference does; elsewhere it proposes from what it can and weighs by the rest."""

    precision = torch.float64

    def __init__(self, reference: ReferenceJoint) -> None:
        super().__init__(reference.schema)
        self.reference = reference
        self.log_partition, self.log_partition_se = reference.log_partition, 0.0

    def log_joint(self, values: Tensor) -> Tensor:
        return self.reference.log_joint(values)

    def inexact(self, queries: QueryBatch) -> list[str]:
        return self.reference.inexact(queries)

    def condition(self, queries: QueryBatch) -> ExactCloud:
        return ExactCloud(self.reference, queries)

    def propose(self, queries: QueryBatch, particles: int) -> WeightedRows:
        keep = np.zeros(queries.kind.shape, dtype=bool)
        for index in alike(queries):
            keep[index] = _answerable(self.reference, queries.take(index[:1]))
        exact = queries.only(keep)
        values = self.reference.conditionals(exact, particles, _seed())
        log_weight = self.reference.log_evidence(exact)[:, None] + log_likelihood(queries.only(~keep), values)
        return WeightedRows(queries, values, torch.as_tensor(log_weight - np.log(particles)))

    def draw(self, draws: int) -> np.ndarray:
        return self.reference.sample(draws, _seed())

    def score_rows(self, batch: Batch) -> Tensor:
        return torch.as_tensor(self.reference.log_prob(_known(batch)))

    def score_masks(self, batch: Batch, masks: Tensor) -> Tensor:
        values = _known(batch)
        seen = [np.where(mask, values, np.nan) for mask in masks.cpu().numpy()]
        return torch.as_tensor(self.reference.log_prob(np.concatenate(seen)).reshape(len(seen), -1))


class ExactCloud:
    """One exact conditional a query."""

    def __init__(self, reference: ReferenceJoint, queries: QueryBatch) -> None:
        self.reference, self.queries = reference, queries

    @cached_property
    def log_weight(self) -> Tensor:
        return torch.as_tensor(self.reference.log_evidence(self.queries))[:, None]

    def draw(self, index: Tensor) -> np.ndarray:
        return self.reference.conditionals(self.queries, index.shape[1], _seed())

    def marginals(self, targets: tuple[str, ...]) -> dict[str, Marginal]:
        return self.reference.marginals(self.queries, targets, _seed())


def _answerable(reference: ReferenceJoint, query: QueryBatch) -> np.ndarray:
    """Which cells of one query's evidence can be put in exactly together, taken in column order."""
    keep = np.zeros(query.kind.shape, dtype=bool)
    for j in np.flatnonzero(query.kind[0] != NOTHING):
        keep[0, j] = True
        if reference.inexact(query.only(keep))[0]:
            keep[0, j] = False
    return keep[0]


def _known(batch: Batch) -> np.ndarray:
    return np.where(batch.observed.cpu().numpy(), batch.values.to(torch.float64).cpu().numpy(), np.nan)


def _seed() -> int:
    """A seed from torch's present random numbers."""
    return int(torch.randint(2**31 - 1, (1,)))


def joint_of(reference: ReferenceJoint, *, rows: int, seed: int) -> Joint:
    """The reference as a joint with `rows` of its own rows as the data it was fitted to."""
    values = torch.as_tensor(reference.sample(rows, seed))
    known = torch.ones_like(values, dtype=torch.bool)
    batch = Batch(reference.schema, values, known, torch.arange(rows), rows)
    return Joint(reference.schema, ReferenceModel(reference).eval(), run=None, reference=batch, rows=10_000)
