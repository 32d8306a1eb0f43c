"""What every strategy is: it makes an offer per query, or a refusal, and answers what it offered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from genprob.query.batch import QueryBatch
from genprob.results.join import join_marginals
from genprob.results.record import Marginal

if TYPE_CHECKING:
    from genprob.joint import Joint

GUARANTEES = ("exact", "consistent", "heuristic")
PARTICLES = 1024
"""Particles or proposals of a query where no budget is given."""
_NUMBERS = 16_000_000
"""Numbers of kept rows that are in memory at once."""


@dataclass(frozen=True)
class Offer:
    """A strategy's word on one query.

    Attributes:
        guarantee: `exact`, `consistent` (the error vanishes as `limit` grows) or `heuristic`.
        law: what the guarantee is about: `joint`, ...
        limit: what has to grow, empty where exact.
        cost: rough work per query, in draws of the joint.
        reason: why it can.
    """

    guarantee: str
    law: str
    limit: str
    cost: float
    reason: str


@dataclass(frozen=True)
class Refusal:
    """Why a strategy cannot answer a query.

    Arguments:
        reason: what is in the way.
        lacking: the model has not what the strategy needs, whatever is asked.
    """

    reason: str
    lacking: bool = False


_ARRAYS = ("values", "log_evidence", "log_evidence_se", "ess", "khat", "rhat")


@dataclass(eq=False)
class Answers:
    """One strategy's answers to Q queries.

    Attributes:
        values: `[Q, chain, draw, width]` equally weighted draws in data units; NaN rows where there are none. Markov
            chains are kept apart; what is drawn independently is one chain.
        marginals: target -> its marginal.
        log_evidence, log_evidence_se, ess, khat, rhat: `[Q]`, NaN where they do not apply.
        failures: `[Q]` why the computation failed, empty where it did not.
        stats: name -> `[Q]` what else the strategy tells of itself (acceptance, temperatures, ...).
    """

    values: np.ndarray
    marginals: dict[str, Marginal]
    log_evidence: np.ndarray
    log_evidence_se: np.ndarray
    ess: np.ndarray
    khat: np.ndarray
    rhat: np.ndarray
    failures: list[str]
    stats: dict[str, np.ndarray] = field(default_factory=dict)

    def take(self, index: np.ndarray) -> Answers:
        """The answers at these positions."""
        arrays = {name: getattr(self, name)[index] for name in _ARRAYS}
        return Answers(
            **arrays,
            marginals={name: marginal.take(index) for name, marginal in self.marginals.items()},
            failures=[self.failures[q] for q in index.tolist()],
            stats={name: stat[index] for name, stat in self.stats.items()},
        )


class Strategy(Protocol):
    """One way to answer queries; it looks at capabilities, never at class names.

    One that has an attribute `roles`, True, is also asked queries that name variables which the model declares. One
    that has a number `least_ess` fails below that effective size: where a larger budget cannot reach it, it gets none.
    """

    name: str

    def offer(self, joint: Joint, queries: QueryBatch) -> list[Offer | Refusal]:
        """One offer or refusal a query; cheap, draws nothing."""
        ...

    def answer(self, joint: Joint, queries: QueryBatch, draws: int, budget: int | None) -> Answers:
        """Answers all queries, drawing from torch's present random numbers.

        Arguments:
            draws: draws returned per query, over all chains (rounded up to as many in each); diagnostics rest on the
                budget, not on them.
            budget: proposals per query, None for the strategy's own.
        """
        ...


def parted(answer: Callable[[QueryBatch], Answers], queries: QueryBatch, rows: int) -> Answers:
    """The answers to a batch, so many queries at a time that memory holds the rows that are kept for each."""
    step = max(1, _NUMBERS // (rows * max(1, queries.schema.width)))
    return joined([answer(queries.take(slice(q, q + step))) for q in range(0, len(queries), step)], queries.targets)


def joined(parts: list[Answers], targets: tuple[str, ...]) -> Answers:
    """The answers to parts of a batch, in order, as one."""
    if len(parts) == 1:
        return parts[0]
    return Answers(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS},
        marginals={name: join_marginals([part.marginals[name] for part in parts]) for name in targets},
        failures=[why for part in parts for why in part.failures],
        stats={name: np.concatenate([part.stats[name] for part in parts]) for name in parts[0].stats},
    )
