"""Scoring: log p of the known cells of rows, by whatever the model can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from genprob.errors import UsageError
from genprob.query.batch import QueryBatch
from genprob.query.capabilities import Conditions, Proposes, Scores, ScoresGiven
from genprob.query.diagnostics import log_mean_error
from genprob.query.log_evidence import LogEvidence, gathered

if TYPE_CHECKING:
    from genprob.joint import Joint

PARTICLES = 256
"""Proposals a row, where its evidence has to be integrated by simulation."""


def log_evidence(joint: Joint, values: np.ndarray) -> LogEvidence:
    """log p of the known cells of `values [rows, width]`, from torch's present random numbers.

    The model's own word where it has one (`Scores`), its exact conditionals where they are closed, its proposals
    elsewhere. Raises `UsageError` for a model without a likelihood.
    """
    model = joint.model
    if not isinstance(model, (Scores, Proposes)):
        raise UsageError(
            f"{type(model).__name__} has no log-probability; it can be sampled and queried, and compared by metrics "
            "of its draws (two_sample, energy_distance); for a likelihood fit another model, as mixture or anyorder"
        )
    parts = [LogEvidence(np.zeros(0), np.zeros(0), "exact")] if not len(values) else []
    for part in joint.chunks(len(values), PARTICLES):
        batch = QueryBatch.from_values(joint.schema, values[part])
        own = isinstance(model, Scores)
        parts.append(model.log_evidence(batch) if own else _proposed(model, joint.model.law, batch))
    return gathered(parts)


def log_conditional(joint: Joint, values: np.ndarray, given: np.ndarray) -> LogEvidence:
    """log p(other known cells | those in the columns where `given [width]`) of rows, by a model that `ScoresGiven`."""
    model = joint.model
    assert isinstance(model, ScoresGiven)
    parts = [LogEvidence(np.zeros(0), np.zeros(0), "exact")] if not len(values) else []
    for part in joint.chunks(len(values), PARTICLES):
        parts.append(model.log_conditional(QueryBatch.from_values(joint.schema, values[part]), given))
    return gathered(parts)


def _proposed(model: Proposes, law: str, batch: QueryBatch) -> LogEvidence:
    value, error = np.zeros(len(batch)), np.zeros(len(batch))
    closed = np.zeros(len(batch), dtype=bool)
    if isinstance(model, Conditions):
        closed = np.array([not reason for reason in model.inexact(batch)])
        if closed.any():
            value[closed] = torch.logsumexp(model.condition(batch.take(closed)).log_weight, 1).cpu().numpy()
    if not closed.all():
        weights = model.propose(batch.take(~closed), PARTICLES).log_weight.cpu().numpy()
        value[~closed] = np.logaddexp.reduce(weights, axis=1)
        error[~closed] = log_mean_error(weights)
    return LogEvidence(value, error, "exact" if closed.all() else "estimate", law)
