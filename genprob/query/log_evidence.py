"""The log-evidence of a batch of queries, with its errors kept apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

KINDS = ("exact", "lower_bound", "upper_bound", "estimate")
_OPPOSITE = {"exact": "exact", "lower_bound": "upper_bound", "upper_bound": "lower_bound", "estimate": "estimate"}


@dataclass(frozen=True, eq=False)
class LogEvidence:
    """log p(evidence) of Q queries, a log density in data units for points, a log probability for sets.

    Attributes:
        value: `[Q]` nats.
        error: `[Q]` standard errors of what was simulated for each query by itself.
        kind: one of `KINDS`, what `value` is.
        law: what it is the evidence under: `joint`, `order-mixture`, ...
        partition_error: standard error of a log-partition function that all queries share; it averages over no
            queries, and cancels in the difference of two.
    """

    value: np.ndarray
    error: np.ndarray
    kind: str
    law: str = "joint"
    partition_error: float = 0.0

    def less(self, other: LogEvidence) -> LogEvidence:
        """log p(evidence | other evidence): the difference of two evidences under the same model."""
        kinds = {self.kind, _OPPOSITE[other.kind]} - {"exact"}
        kind = "exact" if not kinds else kinds.pop() if len(kinds) == 1 else "estimate"
        return LogEvidence(self.value - other.value, np.hypot(self.error, other.error), kind, self.law)


def gathered(parts: Sequence[LogEvidence]) -> LogEvidence:
    """The parts of a batch as one; parts of different kinds make an estimate."""
    kinds = {part.kind for part in parts}
    return LogEvidence(
        np.concatenate([part.value for part in parts]),
        np.concatenate([part.error for part in parts]),
        kinds.pop() if len(kinds) == 1 else "estimate",
        parts[0].law,
        max(part.partition_error for part in parts),
    )
