"""The planner: asks every strategy for offers, takes the best, and escalates when a computation fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from genprob import plugins
from genprob.errors import UnreliableError, UsageError
from genprob.query import roles, support
from genprob.query.batch import POINT, QueryBatch
from genprob.query.capabilities import Doubtful
from genprob.query.gathered import Gathered
from genprob.query.planting import kind_of, share_of
from genprob.query.strategy import GUARANTEES, PARTICLES, Offer, Refusal, Strategy
from genprob.results.record import Answer, Marginal

if TYPE_CHECKING:
    from genprob.joint import Joint

ESCALATION = 8
"""Factor on the budget of a strategy whose computation failed, before the next one is tried."""


@dataclass(frozen=True)
class Word:
    """What one strategy said to one query."""

    strategy: str
    said: Offer | Refusal
    chosen: bool = False

    @property
    def offered(self) -> bool:
        return isinstance(self.said, Offer)

    def __getattr__(self, name: str):
        if name in ("guarantee", "law", "limit", "cost", "reason"):
            return getattr(self.said, name, "")
        raise AttributeError(name)


@dataclass(frozen=True)
class Explanation:
    """Every offer and refusal to one query, best first.

    Attributes:
        offers: one `Word` a strategy: `strategy, offered, guarantee, law, limit, cost, reason, chosen`.
    """

    offers: tuple[Word, ...]

    @property
    def chosen(self) -> str | None:
        """The strategy that would answer, None if all refuse."""
        return next((w.strategy for w in self.offers if w.chosen), None)

    def __str__(self) -> str:
        lines = []
        for word in self.offers:
            mark = "*" if word.chosen else " "
            if isinstance(word.said, Offer):
                limit = f" in {word.said.limit}" if word.said.limit else ""
                terms = f"offers {word.said.guarantee}{limit}, law {word.said.law}"
            else:
                terms = "refuses"
            lines.append(f"{mark} {word.strategy:<12} {terms}: {word.said.reason}")
        return "\n".join(lines)


class Planner:
    """The strategies that are installed, asked in order of what they promise.

    Arguments:
        joint: what is queried.
        only: name of the one strategy to use, or None.
    """

    def __init__(self, joint: Joint, only: str | None = None) -> None:
        self.joint = joint
        specs = [plugins.find("strategy", only)] if only else [s for s, _ in plugins.specs("strategy")]
        self.ranks = {s.name: getattr(s, "rank", 50) for s in specs}
        self.strategies: dict[str, Strategy] = {s.name: plugins.resolve(s.factory)() for s in specs}
        self.only = only

    def words(self, queries: QueryBatch) -> list[list[Word]]:
        """Each query's offers, best first (guarantee, rank, cost), then its refusals, particular ones first."""
        said = {name: self._offers(strategy, queries) for name, strategy in self.strategies.items()}

        def order(word: Word) -> tuple[float, ...]:
            if not isinstance(word.said, Offer):
                return (9.0, float(word.said.lacking), self.ranks[word.strategy])
            return (GUARANTEES.index(word.said.guarantee), self.ranks[word.strategy], word.said.cost)

        # Strategies repeat themselves over a batch: the same replies are put in order once.
        ordered: dict[tuple[int, ...], list[Word]] = {}
        out = []
        for replies in zip(*said.values(), strict=True):
            same = tuple(map(id, replies))
            if same not in ordered:
                row = sorted((Word(name, reply) for name, reply in zip(said, replies, strict=True)), key=order)
                if row and row[0].offered:
                    row[0] = Word(row[0].strategy, row[0].said, True)
                ordered[same] = row
            out.append(ordered[same])
        return out

    def _offers(self, strategy: Strategy, queries: QueryBatch) -> list[Offer | Refusal]:
        if roles.extended(queries, self.joint.schema) and not getattr(strategy, "roles", False):
            return [Refusal("it knows variables of the data only")] * len(queries)
        replies = strategy.offer(self.joint, queries)
        named = {key: self._named(reply) for key, reply in {id(reply): reply for reply in replies}.items()}
        return [named[id(reply)] for reply in replies]

    def _named(self, reply: Offer | Refusal) -> Offer | Refusal:
        """An offer about the joint, as the model calls its joint."""
        return replace(reply, law=self.joint.model.law) if isinstance(reply, Offer) and reply.law == "joint" else reply

    def explain(self, queries: QueryBatch) -> Explanation:
        """What every strategy says to the first query."""
        return Explanation(tuple(self.words(queries)[0]))

    def answer(
        self, queries: QueryBatch, draws: int, seed: int, budget: int | None, *, single: bool, lenient: bool = False
    ) -> Answer:
        """Answers all queries: each by its best offer, again with a larger budget and then by the next on failure.

        Arguments:
            single: one query asked by itself; messages do not number it.
            lenient: leave NaN draws where no strategy reaches the evidence, instead of raising.
        """
        words = self.words(queries)
        final = Gathered.blank(queries)
        attempts: list[list[tuple[str, int | None]]] = []
        planned: dict[int, list[tuple[str, int | None]]] = {}  # queries that were told the same share their words
        for q, row in enumerate(words):
            if id(row) not in planned:
                planned[id(row)] = _attempts(row, budget, "" if single else f"query {q}: ")
            attempts.append(planned[id(row)])
        pending = list(range(len(queries)))
        turn = 0
        while pending:
            groups: dict[tuple[str, int | None], list[int]] = {}
            for q in pending:
                groups.setdefault(attempts[q][turn], []).append(q)
            failed: list[int] = []
            for (name, allowed), members in groups.items():
                index = np.array(members)
                answers = self.strategies[name].answer(self.joint, queries.take(index), draws, allowed)
                own = {id(words[q]): words[q] for q in members}
                said = {at: next(w.said for w in row if w.strategy == name) for at, row in own.items()}
                offers = [said[id(words[q])] for q in members]
                final.take(index, name, offers, answers)
                failed += [q for q, why in zip(members, answers.failures, strict=True) if why]
                hopeless = answers.ess * ESCALATION < getattr(self.strategies[name], "least_ess", 0.0)
                for q in index[hopeless & np.array([bool(why) for why in answers.failures])].tolist():
                    # More of the same would fail as well, at eight times the price.
                    attempts[q] = [a for t, a in enumerate(attempts[q]) if t <= turn or a[0] != name]
            turn += 1
            pending = [q for q in sorted(failed) if turn < len(attempts[q]) and not final.impossible(q)]
        if not lenient:
            self._check(queries, final, single)
        return self._finish(queries, final, draws, seed, single)

    def _check(self, queries: QueryBatch, final: Gathered, single: bool) -> None:
        """Raises where there is no answer to give."""
        for q in range(len(queries)):
            which = "" if single else f"query {q}: "
            if final.impossible(q):
                raise UsageError(f"{which}the evidence has probability zero under the joint; relax or drop some of it")
            if final.blank_cells[q]:
                why = final.failures[q]
                raise UnreliableError(f"{which}no strategy reached the evidence within its budget ({why})")

    def _finish(self, queries: QueryBatch, final: Gathered, draws: int, seed: int, single: bool) -> Answer:
        beyond = roles.held(queries, self.joint.schema)
        told = np.where(beyond, np.nan, final.log_evidence)  # that of a latent is no part of what rows are ranked by
        status, why = support.judge(self.joint, queries.part(self.joint.schema), told)
        doubt = self.joint.model.doubt() if isinstance(self.joint.model, Doubtful) else ""
        shared = np.isfinite(final.log_evidence)  # these rest on what is in doubt
        failures = [
            "; ".join(filter(None, (f, doubt if s and doubt not in f else "")))
            for f, s in zip(final.failures, shared, strict=True)
        ]
        computation = ["fail" if f else "ok" for f in failures]
        calibration, audited = self._calibration(queries, final)
        reasons = [
            "; ".join(r for r in (f"computation: {f}" if f else "", c, s, a) if r)
            for f, c, s, a in zip(failures, final.contradictions(), why, audited, strict=True)
        ]
        reliable = np.array(
            [c == "ok" and s == "ok" and a != "fail" for c, s, a in zip(computation, status, calibration, strict=True)],
            dtype=np.int64,
        )
        points = queries.kind == POINT
        values = final.values(draws)
        given = np.broadcast_to(points[:, None, None], values.shape)
        values[given] = np.broadcast_to(queries.a[:, None, None], values.shape)[given]
        return Answer(
            schema=queries.schema,
            targets=queries.targets,
            values=values,
            marginals={n: _with_given(queries, n, m) for n, m in final.marginals.items()},
            log_evidence=final.log_evidence,
            log_evidence_se=final.log_evidence_se,
            ess=final.ess,
            khat=final.khat,
            rhat=final.rhat,
            tries=final.tries,
            reliable=reliable,
            strategy=final.strategy,
            guarantee=final.guarantee,
            law=final.law,
            limit=final.limit,
            computation=computation,
            support=status,
            calibration=calibration,
            reasons=reasons,
            stats=final.stats,
            seed=seed,
            observed=np.where(points, queries.a, np.nan) if points.any() else None,
            single=single,
        )

    def _calibration(self, queries: QueryBatch, final: Gathered) -> tuple[list[str], list[str]]:
        """What the audit says of the strategies that answered, a status and a reason per query."""
        audit = self.joint.calibration
        if roles.extended(queries, self.joint.schema):
            return ["unknown"] * len(queries), ["calibration: audits plant variables of the data only"] * len(queries)
        if audit is None:
            return ["unknown"] * len(queries), ["calibration: not audited"] * len(queries)
        about = zip(final.strategy, kind_of(queries), share_of(queries), strict=True)
        found = [audit.lookup(strategy, kind, float(share)) for strategy, kind, share in about]
        return [status for status, _ in found], [reason for _, reason in found]


def _attempts(row: list[Word], budget: int | None, which: str) -> list[tuple[str, int | None]]:
    """The strategies that offer to answer and their budgets, in the order in which they are tried."""
    out: list[tuple[str, int | None]] = []
    for word in row:
        if isinstance(word.said, Offer):
            out.append((word.strategy, budget))
            if word.said.guarantee != "exact" and word.strategy != "rejection":
                out.append((word.strategy, (budget or PARTICLES) * ESCALATION))
    if not out:
        if len(row) == 1:
            raise UsageError(f"{which}strategy {row[0].strategy} cannot answer: {row[0].said.reason}; others may")
        raise UsageError(f"{which}no strategy can answer ({_reasons(row)})")
    return out


def _reasons(refusals: Sequence[Word]) -> str:
    """What is in the way of this very question; strategies that the model is not made for are named, if others are."""
    about = [w for w in refusals if isinstance(w.said, Refusal) and not w.said.lacking]
    told = "; ".join(f"{w.strategy}: {w.said.reason}" for w in about or refusals)
    rest = [w.strategy for w in refusals if w not in about] if about else []
    return told + (f"; not made for this model: {', '.join(rest)}" if rest else "")


def _with_given(queries: QueryBatch, name: str, marginal: Marginal) -> Marginal:
    """The marginal with what some queries know for certain put in."""
    variable = queries.schema[name]
    columns = queries.schema.slices[name]
    known = (queries.kind[:, columns] == POINT).reshape(-1, *variable.shape)
    if not known.any():
        return marginal
    value = queries.a[:, columns].reshape(-1, *variable.shape)
    numeric = variable.support.kind != "categorical"
    put = {
        "mean": np.where(known, value if numeric else np.nan, marginal.mean),
        "sd": np.where(known, 0.0 if numeric else np.nan, marginal.sd),
        "mcse": np.where(known, 0.0 if numeric else np.nan, marginal.mcse),
        "quantiles": np.where(known[:, None], value[:, None] if numeric else np.nan, marginal.quantiles),
    }
    if marginal.pmf is not None:
        certain = value[..., None] == np.arange(marginal.pmf.shape[-1])
        put["pmf"] = np.where(known[..., None], certain, marginal.pmf)
        if marginal.pmf_mcse is not None:
            put["pmf_mcse"] = np.where(known[..., None], 0.0, marginal.pmf_mcse)
    return replace(marginal, **put)
