"""Joining the answers to consecutive parts of one batch of queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np

from genprob.results.record import Answer, Marginal

_ARRAYS = ("values", "log_evidence", "log_evidence_se", "ess", "khat", "rhat", "tries", "reliable")
_TEXTS = ("strategy", "guarantee", "law", "limit", "computation", "support", "calibration", "reasons")


def join(parts: Sequence[Answer]) -> Answer:
    """One answer to all queries; the parts share schema, targets and number of draws.

    Chains are kept apart where all parts have as many.
    """
    if len(parts) == 1:
        return parts[0]
    if len({p.values.shape[1:] for p in parts}) > 1:
        draws = min(p.values.shape[1] * p.values.shape[2] for p in parts)
        parts = [replace(p, values=np.stack([one_chain(v, draws) for v in p.values])) for p in parts]
    stats = {name: None for p in parts for name in p.stats}
    arrays = {name: np.concatenate([getattr(p, name) for p in parts]) for name in _ARRAYS}
    texts = {name: [text for p in parts for text in getattr(p, name)] for name in _TEXTS}
    observed = None
    if any(p.observed is not None for p in parts):
        observed = np.concatenate(
            [p.observed if p.observed is not None else np.full((p.queries, p.schema.width), np.nan) for p in parts]
        )
    joined = {name: np.concatenate([p.stats.get(name, np.full(p.queries, np.nan)) for p in parts]) for name in stats}
    marginals = {name: join_marginals([p.marginals[name] for p in parts]) for name in parts[0].marginals}
    return replace(parts[0], **arrays, **texts, observed=observed, marginals=marginals, stats=joined)


def uniform(answer: Answer, draws: int) -> Answer:
    """The answer as every part of a stream has to look: one chain, and no statistics that only some strategies tell."""
    return replace(answer, values=np.stack([one_chain(v, draws) for v in answer.values]), stats={})


def one_chain(values: np.ndarray, draws: int) -> np.ndarray:
    """The draws `[chain, draw, width]` of one query as one chain `[1, draws, width]`, draws of all chains in turn."""
    mixed = np.swapaxes(values, 0, 1).reshape(1, -1, values.shape[-1])
    return mixed[:, :draws]


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
