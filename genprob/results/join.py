"""Joining the answers to consecutive parts of one batch of queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np

from genprob.results.record import Answer, Marginal

_ARRAYS = ("values", "log_evidence", "log_evidence_se", "ess", "khat", "rhat", "tries", "reliable")
_TEXTS = ("strategy", "guarantee", "law", "limit", "computation", "support", "calibration", "reasons")


def join(parts: Sequence[Answer]) -> Answer:
    """One answer to all queries; the parts share schema, targets and number of draws."""
    if len(parts) == 1:
        return parts[0]
    arrays = {name: np.concatenate([getattr(p, name) for p in parts]) for name in _ARRAYS}
    texts = {name: [text for p in parts for text in getattr(p, name)] for name in _TEXTS}
    observed = None
    if any(p.observed is not None for p in parts):
        observed = np.concatenate(
            [p.observed if p.observed is not None else np.full((p.queries, p.schema.width), np.nan) for p in parts]
        )
    marginals = {name: join_marginals([p.marginals[name] for p in parts]) for name in parts[0].marginals}
    return replace(parts[0], **arrays, **texts, observed=observed, marginals=marginals)


def join_marginals(parts: Sequence[Marginal]) -> Marginal:
    """One target's marginal over consecutive parts of a batch."""
    joined = {}
    for field in fields(Marginal):
        values = [getattr(p, field.name) for p in parts]
        if field.name == "rao_blackwell":
            joined[field.name] = all(values)
        else:
            joined[field.name] = None if values[0] is None else np.concatenate(values)
    return Marginal(**joined)
