"""Ancestral: what is known first, then one variable after the other, in an order of its own for every draw."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from genprob.query import diagnostics, told_states
from genprob.query.batch import NOISY, POINT, QueryBatch
from genprob.query.capabilities import AnyOrder, Contexts
from genprob.query.empirical import marginals as counted
from genprob.query.log_evidence import LogEvidence
from genprob.query.orders import LAW, Scored, given_points, members, score_points
from genprob.query.paths import Paths, meet, systematic, told, walk
from genprob.query.strategy import PARTICLES, Answers, Offer, Refusal, joined
from genprob.results.record import Marginal

if TYPE_CHECKING:
    from genprob.joint import Joint

_AVERAGED = 64
"""Contexts over whose conditionals marginals are averaged, where evidence is met by draws."""
_LEAST_ESS = 100.0
_ROWS = 65_536
"""Rows of particles that are worked on at once."""
_SCORED = 10_000
"""Conditionals afforded to the log-evidence of a batch's points: the larger the batch, the fewer orders."""
POINTS, SUMMED, DRAWN, WEIGHED = range(4)
"""How evidence is met: as it is; state by state; by exact draws of one variable; by weighted draws of several."""


class Ancestral:
    """Evidence-first ancestral sampling of models that know any variable given any others.

    Given points are conditioned on at once, so that each target's marginal is the model's own conditional. Other
    evidence is summed state by state, along all orders of its pieces, where it leaves few states. Else it comes first
    in every order, each variable drawn from its conditional under its evidence and weighed by that evidence's
    probability; with one such variable that is exact, with more the weights are those of sequential importance
    sampling with resampling, and what is said of their precision counts rows that descend from one as one (Lee and
    Whiteley 2018, Variance estimation in the particle filter). Targets follow, in a fresh random order for every draw;
    where more than 32 cells are drawn, the draws of a query share eight.

    The members of an `Ensemble` count in proportion to p(points | member), and each draw stays with one of them.

    The statistics `order_disagreement` and `member_disagreement` say how incoherent the conditionals are, and how sure
    the fit: the standard deviation over orders, and over members, of the log-probability of the given points, in nats;
    NaN where a large batch affords one order only.

    See also: Uria, Murray and Larochelle 2014; Doucet, de Freitas and Gordon 2001, Sequential Monte Carlo methods.
    """

    name = "ancestral"

    def offer(self, joint: Joint, queries: QueryBatch) -> list[Offer | Refusal]:
        model = joint.model
        if not isinstance(model, AnyOrder):
            return [Refusal("the model does not know every variable given any others", lacking=True)] * len(queries)
        kinds, several = _kinds(queries), told(queries).sum(1)
        every = _every(model, (queries.kind == POINT).sum(1))
        offers = {
            (kind, sure, number): _offer(kind, sure, number)
            for kind, sure, number in set(zip(kinds.tolist(), every.tolist(), several.tolist(), strict=True))
        }
        return [offers[key] for key in zip(kinds.tolist(), every.tolist(), several.tolist(), strict=True)]

    def answer(self, joint: Joint, queries: QueryBatch, draws: int, budget: int | None) -> Answers:
        model = joint.model
        assert isinstance(model, AnyOrder)
        queries = replace(queries, names=queries.targets)
        parts, places = [], []
        for index, kind, particles in _pieces(queries, draws, budget, members(model)):
            places.append(index)
            parts.append(_answer(model, queries.take(index), draws, kind, particles))
        whole, place = joined(parts, queries.targets), np.concatenate(places)
        return whole if len(parts) == 1 else whole.take(place.argsort())


def _offer(kind: int, every: bool, number: int) -> Offer:
    if kind == WEIGHED:
        reason = f"{number} pieces of evidence are met first in every order, and weighed"
        return Offer("consistent", LAW, "particles", float(PARTICLES * (number + 1)), reason)
    if not every:
        reason = "each member knows every variable given this evidence; their shares rest on some orders of it"
        return Offer("consistent", LAW, "orders", 2.0, reason)
    if kind == SUMMED:
        return Offer("exact", LAW, "", 4.0, "the model knows every variable given each state of this evidence")
    return Offer("exact", LAW, "", 2.0, "the model knows every variable given this evidence")


def _every(model: AnyOrder, points: np.ndarray) -> np.ndarray:
    """`[Q]` whether members, if there are several, are weighed along all orders of so many points."""
    if members(model) == 1:
        return np.ones(len(points), dtype=bool)
    return np.array([n < 12 and math.factorial(n) <= model.orders for n in points.tolist()], dtype=bool)


def draw(model: AnyOrder, queries: QueryBatch, draws: int) -> np.ndarray:
    """Draws of everything that queries which know points only leave open, `[Q, draws, width]`."""
    values, known = given_points(queries, model)
    scored = score_points(model, values, known, model.orders if members(model) > 1 else 1)
    paths = _given(values, known, scored)
    index = systematic(paths.share, draws)
    out = walk(model, paths, paths.contexts(model), index, ~known)
    return out.reshape(len(queries), draws, -1).cpu().numpy()


def log_evidence(model: AnyOrder, queries: QueryBatch, orders: int | None = None) -> LogEvidence:
    """log p(evidence) averaged over members and orders, log (1/K) sum_k p_k(evidence).

    All orders where there are at most K: then exact under the law `order-mixture`; else K random ones, in pairs of an
    order and its reverse: an unbiased estimate of the probability. Intervals, sets and readings follow the points, by
    sums over their states where these are few, else by weighted particles.

    Arguments:
        model: what knows the conditionals.
        queries: the evidence.
        orders: K; None takes the model's own.
    """
    values, known = given_points(queries, model)
    scored = score_points(model, values, known, orders or model.orders)
    out = scored.evidence
    if not told(queries).any():
        return out
    value, error, kinds = out.value.copy(), out.error.copy(), _kinds(queries)
    for index, kind, particles in _pieces(queries, 1, None, members(model)):
        if kind == POINTS:
            continue
        met = _met(model, _given(values[index], known[index], scored.take(index)), queries.take(index), kind, particles)
        value[index] += _log_mean(met)
        if kind == WEIGHED:
            error[index] = np.hypot(error[index], diagnostics.log_mean_error(met.of_family))
    exact = out.kind == "exact" and not (kinds == WEIGHED).any()
    return LogEvidence(value, error, "exact" if exact else "estimate", LAW)


def log_conditional(model: AnyOrder, queries: QueryBatch, given: np.ndarray, orders: int | None = None) -> LogEvidence:
    """log p(the other points | the points where `given [Q, width]`), averaged over orders of the others.

    What is given comes first in every order, so that nothing is a difference of two averages.
    """
    values, known = given_points(queries, model)
    first = known & torch.as_tensor(given, device=known.device)
    scored = score_points(model, values, known, orders or model.orders, first)
    if members(model) == 1:
        return scored.evidence
    before = score_points(model, values, first, orders or model.orders)
    share = before.log_share + math.log(members(model))
    return Scored(scored.log_p + share[:, :, None], scored.every and before.every).evidence


# --- evidence


def _weighed(queries: QueryBatch) -> np.ndarray:
    """`[Q]`, whether drawn evidence leaves weights: several pieces of it, or a reading of a true real."""
    sharp = np.array([not v.discrete and v.cell is None for v in queries.schema.columns])
    return (told(queries).sum(1) > 1) | ((queries.kind == NOISY) & sharp).any(1)


def _kinds(queries: QueryBatch) -> np.ndarray:
    """`[Q]` how each query's evidence is met."""
    some = told(queries).any(1)
    if not some.any():
        return np.full(len(queries), POINTS)
    drawn = np.where(_weighed(queries), WEIGHED, DRAWN)
    return np.where(some, np.where(told_states.count(queries) > 0, SUMMED, drawn), POINTS)


def _pieces(queries: QueryBatch, draws: int, budget: int | None, number: int) -> Iterator[tuple[np.ndarray, int, int]]:
    """Positions of queries of one kind, as many as fit in memory, the kind, and how many particles each takes."""
    kinds = _kinds(queries)
    for kind in np.unique(kinds).tolist():
        own = np.flatnonzero(kinds == kind)
        particles = max(2, budget or PARTICLES) if kind == WEIGHED else max(draws, _AVERAGED)
        rows = {POINTS: draws // 4, SUMMED: number * told_states.MOST_STATES}.get(kind, number + particles)
        step = max(1, _ROWS // max(rows, 1))
        for at in range(0, len(own), step):
            yield own[at : at + step], kind, particles


def _given(values: Tensor, known: Tensor, scored: Scored) -> Paths:
    """The points as every member sees them."""
    return Paths.of(values, known, torch.as_tensor(scored.log_share))


def _met(model: AnyOrder, given: Paths, queries: QueryBatch, kind: int, particles: int) -> Paths:
    """Paths that agree with evidence of one kind."""
    if kind == POINTS:
        return given
    if kind == SUMMED:
        return told_states.summed(model, given, queries)
    return meet(model, given, given.contexts(model), queries, particles)


def _log_mean(paths: Paths) -> np.ndarray:
    """`[Q]` the estimate of log p(evidence other than points | points)."""
    return (torch.logsumexp(paths.log_weight, 1) - math.log(paths.number)).cpu().numpy()


# --- answers


def _answer(model: AnyOrder, queries: QueryBatch, draws: int, kind: int, particles: int) -> Answers:
    n = len(queries)
    values, known = given_points(queries, model)
    cells = max(1, int(known.sum())) * members(model)
    scored = score_points(model, values, known, min(model.orders, max(1, _SCORED // cells)))
    points = scored.evidence
    paths = _met(model, _given(values, known, scored), queries, kind, particles)
    share, log_weight = paths.share, paths.of_family
    exact = kind in (POINTS, SUMMED)
    if exact:
        leaves = root = paths.contexts(model)
        marginals = _marginals(queries, leaves, paths.number, torch.log(share))
    else:
        some = paths.take(systematic(share, min(_AVERAGED, paths.number)))
        marginals = _marginals(queries, some.contexts(model), some.number, None)
        # Contexts that descend from one row err together.
        kin = np.sqrt(some.number / diagnostics.effective_sample_size(some.of_family))
        marginals = {name: _less_sure(marginal, kin) for name, marginal in marginals.items()}
        root = paths.contexts(model) if paths.number <= draws else None
    asked = torch.as_tensor(queries.asked, device=values.device)
    drawn = walk(model, paths, root, systematic(share, draws), asked)
    filled = torch.as_tensor(queries.asked | told(queries) | (queries.kind == POINT), device=values.device)
    drawn = torch.where(filled.repeat_interleave(draws, 0), drawn, torch.nan).reshape(n, draws, -1).cpu().numpy()
    _count_told(queries, marginals, drawn)
    ess, khat, error = np.full(n, float(draws)), np.full(n, np.nan), np.zeros(n)
    if kind == DRAWN:
        ess = np.minimum(ess, diagnostics.effective_sample_size(log_weight))
    if kind == WEIGHED:
        ess, khat = diagnostics.effective_sample_size(log_weight), diagnostics.pareto_k(log_weight)
        error = diagnostics.log_mean_error(log_weight)
    possible: np.ndarray = np.logical_or.reduce(np.isfinite(log_weight), axis=1)
    return Answers(
        values=drawn[:, None],
        marginals=marginals,
        log_evidence=points.value + _log_mean(paths),
        log_evidence_se=np.hypot(points.error, error),
        ess=ess,
        khat=khat,
        rhat=np.full(n, np.nan),
        failures=_failures(kind == WEIGHED, possible, ess, khat, paths.number),
        stats=scored.disagreement,
    )


def _failures(weighed: bool, possible: np.ndarray, ess: np.ndarray, khat: np.ndarray, particles: int) -> list[str]:
    acceptable = diagnostics.acceptable_k(particles)
    out = []
    for q in range(len(ess)):
        if not possible[q]:
            out.append("the evidence has probability zero under the joint")
        elif weighed and khat[q] >= acceptable and ess[q] < particles / 2:
            out.append(f"Pareto k-hat {khat[q]:.2f} of {particles} weights is above {acceptable:.2f}")
        elif weighed and ess[q] < min(_LEAST_ESS, particles / 4):
            out.append(f"effective sample size {ess[q]:.0f} of {particles} particles is below {_LEAST_ESS:.0f}")
        else:
            out.append("")
    return out


def _marginals(queries: QueryBatch, leaves: Contexts, averaged: int, log_weight: Tensor | None) -> dict[str, Marginal]:
    """Each target's conditionals averaged over the contexts of each query, weighted by `log_weight [Q, averaged]`."""
    out = {}
    for name in queries.targets:
        columns = range(*queries.schema.slices[name].indices(queries.schema.width))
        parts = [_where_asked(queries, leaves, j, averaged, log_weight) for j in columns]
        out[name] = _stacked(parts, queries.schema[name].shape)
    return out


def _count_told(queries: QueryBatch, marginals: dict[str, Marginal], drawn: np.ndarray) -> None:
    """Puts in what draws say of the targets of which something is told."""
    where = told(queries)
    for name in marginals:
        some: np.ndarray = np.logical_or.reduce(where[:, queries.schema.slices[name]], axis=1)
        if some.any():
            marginals[name] = _replaced(marginals[name], counted(queries.schema, drawn, (name,))[name], some)


def _less_sure(marginal: Marginal, factor: np.ndarray) -> Marginal:
    """The marginal with its Monte-Carlo errors multiplied by `factor [Q]`."""

    def times(error: np.ndarray) -> np.ndarray:
        return error * factor.reshape(-1, *[1] * (error.ndim - 1))

    pmf_mcse = None if marginal.pmf_mcse is None else times(marginal.pmf_mcse)
    return replace(marginal, mcse=times(marginal.mcse), pmf_mcse=pmf_mcse)


def _where_asked(queries: QueryBatch, leaves: Contexts, j: int, averaged: int, log_weight: Tensor | None) -> Marginal:
    """The marginal of one column in the queries that do not give it; NaN in the others."""
    index = np.flatnonzero(queries.kind[:, j] != POINT)
    weight = None if log_weight is None or averaged == 1 else log_weight
    if len(index) == len(queries):
        return leaves.law(j).marginal(len(queries), None if weight is None else weight.reshape(-1))
    some = index if len(index) else np.zeros(1, dtype=np.int64)
    rows = torch.as_tensor((some[:, None] * averaged + np.arange(averaged)).reshape(-1))
    part = leaves.law(j, rows).marginal(len(some), None if weight is None else weight.reshape(-1)[rows])
    arrays = {}
    for field in _FIELDS:
        values = getattr(part, field)
        arrays[field] = None if values is None else np.full((len(queries), *values.shape[1:]), np.nan)
        if values is not None and len(index):
            arrays[field][index] = values
    return Marginal(**arrays, rao_blackwell=part.rao_blackwell)


_FIELDS = ("mean", "sd", "mcse", "quantiles", "pmf", "pmf_mcse")


def _stacked(parts: list[Marginal], shape: tuple[int, ...]) -> Marginal:
    """Marginals of an array's columns as the array's."""
    if not shape:
        return parts[0]
    arrays = {}
    for field in _FIELDS:
        pieces = [getattr(part, field) for part in parts]
        if pieces[0] is None:
            arrays[field] = None
            continue
        axis = -2 if field.startswith("pmf") else -1
        whole = np.stack(pieces, axis)
        lead, tail = whole.shape[:axis], whole.shape[axis:][1:]
        arrays[field] = whole.reshape(*lead, *shape, *tail)
    return Marginal(**arrays, rao_blackwell=parts[0].rao_blackwell)


def _replaced(whole: Marginal, part: Marginal, where: np.ndarray) -> Marginal:
    """The marginals of the queries at `where` taken from another."""
    arrays = {}
    for field in _FIELDS:
        old, new = getattr(whole, field), getattr(part, field)
        arrays[field] = None if old is None else np.where(where.reshape(-1, *[1] * (old.ndim - 1)), new, old)
    return Marginal(**arrays, rao_blackwell=False)
