"""What is gathered of the answers to a batch of queries while strategies take turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genprob.query.batch import QueryBatch
from genprob.query.strategy import Answers, Offer, Refusal
from genprob.results.join import one_chain
from genprob.results.record import Marginal

_AGREE = 5.0
"""Standard errors by which the log-evidence of a failed try may differ from the answer's without a word."""


@dataclass(eq=False)
class Gathered:
    """The answers so far, query by query, whichever strategy they came from."""

    queries: QueryBatch
    chains: list[np.ndarray | None]
    marginals: dict[str, Marginal]
    log_evidence: np.ndarray
    log_evidence_se: np.ndarray
    ess: np.ndarray
    khat: np.ndarray
    rhat: np.ndarray
    tries: np.ndarray
    strategy: list[str]
    guarantee: list[str]
    law: list[str]
    limit: list[str]
    failures: list[str]
    claims: list[list[tuple[str, float, float]]]
    blank_cells: np.ndarray
    stats: dict[str, np.ndarray]

    @classmethod
    def blank(cls, queries: QueryBatch) -> Gathered:
        n = len(queries)

        def nothing() -> np.ndarray:
            return np.full(n, np.nan)

        def words() -> list[str]:
            return [""] * n

        return cls(
            queries=queries,
            chains=[None] * n,
            marginals={},
            log_evidence=nothing(),
            log_evidence_se=nothing(),
            ess=nothing(),
            khat=nothing(),
            rhat=nothing(),
            tries=np.zeros(n, dtype=np.int64),
            strategy=words(),
            guarantee=words(),
            law=words(),
            limit=words(),
            failures=words(),
            claims=[[] for _ in range(n)],
            blank_cells=np.ones(n, dtype=bool),
            stats={},
        )

    def draws(self, q: int) -> np.ndarray:
        """What answers one query, `[chain, draw, width]`."""
        chains = self.chains[q]
        assert chains is not None
        return chains

    def values(self, draws: int) -> np.ndarray:
        """All queries' draws `[Q, chain, draw, width]`: chains as they are if all queries have as many, else in one."""
        found = [self.draws(q) for q in range(len(self.chains))]
        if len({chains.shape for chains in found}) > 1:
            found = [one_chain(chains, draws) for chains in found]
        return np.stack(found)

    def impossible(self, q: int) -> bool:
        """True where an exact computation found that the evidence has probability zero."""
        return bool(self.guarantee[q] == "exact" and self.log_evidence[q] == -np.inf)

    def take(self, index: np.ndarray, name: str, offers: Sequence[Offer | Refusal], answers: Answers) -> None:
        """Takes over answers, except where this try failed as well and rests on fewer draws than the one before."""
        for q, evidence, error in zip(index.tolist(), answers.log_evidence, answers.log_evidence_se, strict=True):
            self.claims[q].append((name, float(evidence), float(error)))
        self.tries[index] += 1
        worse = np.array([bool(f) for f in answers.failures]) & (np.nan_to_num(answers.ess) < self.ess[index])
        better = np.flatnonzero(~worse)
        kept = index[better]
        for position, q in zip(better.tolist(), kept.tolist(), strict=True):
            self.chains[q] = answers.values[position]
        missing: np.ndarray = np.logical_or.reduce(np.isnan(answers.values), axis=(1, 2)) & self.queries.asked[index]
        self.blank_cells[kept] = np.logical_or.reduce(missing, axis=1)[better]
        for told in self.stats.values():
            told[kept] = np.nan
        for stat, told in answers.stats.items():
            self.stats.setdefault(stat, np.full(len(self.queries), np.nan))[kept] = told[better]
        for field in ("log_evidence", "log_evidence_se", "ess", "khat", "rhat"):
            getattr(self, field)[kept] = getattr(answers, field)[better]
        for position, q in zip(better.tolist(), kept.tolist(), strict=True):
            offer = offers[position]
            assert isinstance(offer, Offer)
            self.strategy[q], self.guarantee[q], self.law[q], self.limit[q] = (
                name, offer.guarantee, offer.law, offer.limit,
            )  # fmt: skip
            self.failures[q] = answers.failures[position]
        for target, marginal in answers.marginals.items():
            self.marginals[target] = _merge(self.marginals.get(target), marginal, better, kept, len(self.queries))

    def contradictions(self) -> list[str]:
        """Per query, what failed tries claimed of the evidence that the answer does not bear out."""
        out = []
        for q, claims in enumerate(self.claims):
            evidence, error = self.log_evidence[q], self.log_evidence_se[q]
            far = (
                [
                    f"an earlier try of {name} claimed a log-evidence of {claimed:.3f}, this answer {evidence:.3f}"
                    for name, claimed, spread in claims
                    if np.isfinite([claimed, spread, evidence, error]).all()
                    and abs(claimed - evidence) > _AGREE * np.hypot(spread, error) + 0.02
                ]
                if len(claims) > 1
                else []
            )  # a single try is the answer
            out.append("; ".join(far))
        return out


def _merge(whole: Marginal | None, part: Marginal, better: np.ndarray, index: np.ndarray, queries: int) -> Marginal:
    """The marginal of all queries with those at `index` replaced by those at `better` of a part."""
    if len(better) == queries:
        return part
    arrays = {}
    for name in ("mean", "sd", "mcse", "quantiles", "pmf", "pmf_mcse"):
        new = getattr(part, name)
        if new is None:
            arrays[name] = None
            continue
        old = getattr(whole, name) if whole is not None else np.full((queries, *new.shape[1:]), np.nan)
        old = old.copy()
        old[index] = new[better]
        arrays[name] = old
    return Marginal(**arrays, rao_blackwell=part.rao_blackwell and (whole is None or whole.rao_blackwell))
