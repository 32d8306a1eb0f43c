"""Ancestral: what is known first, then one variable after the other, in an order of its own for every draw."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from genprob.query import diagnostics
from genprob.query.batch import NOISY, NOTHING, POINT, QueryBatch
from genprob.query.capabilities import AnyOrder, Contexts
from genprob.query.empirical import marginals as counted
from genprob.query.log_evidence import LogEvidence
from genprob.query.orders import LAW, by_column, given_points, score_points, shared
from genprob.query.strategy import PARTICLES, Answers, Offer, Refusal
from genprob.results.join import join_marginals
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


class Ancestral:
    """Evidence-first ancestral sampling of models that know any variable given any others.

    Given points are conditioned on at once, so that each target's marginal is the model's own conditional. Intervals,
    sets and readings come first in every order, each variable drawn from its conditional under its evidence and
    weighed by that evidence's probability; with one such variable that is exact, with more the weights are those of
    sequential importance sampling with resampling. Targets follow, in a fresh random order for every draw.

    The statistic `order_disagreement` says how incoherent the conditionals are: the standard deviation over orders of
    the log-probability of the given points, in nats; NaN where a large batch affords one order only.

    See also: Uria, Murray and Larochelle 2014; Doucet, de Freitas and Gordon 2001, Sequential Monte Carlo methods.
    """

    name = "ancestral"

    def offer(self, joint: Joint, queries: QueryBatch) -> list[Offer | Refusal]:
        if not isinstance(joint.model, AnyOrder):
            return [Refusal("the model does not know every variable given any others")] * len(queries)
        out: list[Offer | Refusal] = []
        for number, weighed in zip(_told(queries).sum(1).tolist(), _weighed(queries).tolist(), strict=True):
            if weighed:
                reason = f"{number} pieces of evidence are met first in every order, and weighed"
                out.append(Offer("consistent", LAW, "particles", float(PARTICLES * (number + 1)), reason))
            else:
                reason = "the model knows every variable given this evidence"
                out.append(Offer("exact", LAW, "", 2.0, reason))
        return out

    def answer(self, joint: Joint, queries: QueryBatch, draws: int, budget: int | None) -> Answers:
        assert isinstance(joint.model, AnyOrder)
        # As many queries at a time as the network's view of their particles, or of their draws, fits in memory.
        particles = max(2, budget or PARTICLES) if _weighed(queries).any() else max(draws, _AVERAGED)
        step = max(1, _ROWS // particles if _told(queries).any() else 4 * _ROWS // draws)
        index = np.arange(len(queries))
        parts = [_answer(joint.model, queries.take(index[at : at + step]), draws, particles)
                 for at in range(0, len(queries), step)]  # fmt: skip
        return parts[0] if len(parts) == 1 else _together(parts)


def draw(model: AnyOrder, queries: QueryBatch, draws: int) -> np.ndarray:
    """Draws of everything that queries which know points only leave open, `[Q, draws, width]`."""
    values, known = given_points(queries, model)
    index = torch.arange(len(queries), device=values.device).repeat_interleave(draws)
    out = _walk(model, model.contexts(values, known), index, values[index], known[index], ~known[index])
    return out.reshape(len(queries), draws, -1).cpu().numpy()


def log_evidence(model: AnyOrder, queries: QueryBatch, orders: int | None = None) -> LogEvidence:
    """log p(evidence) averaged over orders, log (1/K) sum_k p_k(evidence).

    All orders where there are at most K: then exact under the law `order-mixture`; else K random ones, in pairs of an
    order and its reverse: an unbiased estimate of the probability. Intervals, sets and readings follow the points, by
    weighted particles.

    Arguments:
        model: what knows the conditionals.
        queries: the evidence.
        orders: K; None takes the model's own.
    """
    values, known = given_points(queries, model)
    out, _ = score_points(model, values, known, orders or model.orders)
    told = _told(queries)
    if not told.any():
        return out
    step, extra = max(1, _ROWS // PARTICLES), []
    for at in range(0, len(queries), step):
        part = slice(at, at + step)
        met = _meet(model, model.contexts(values[part], known[part]), queries.take(part), PARTICLES)
        extra.append(met[2].cpu().numpy())
    log_weight = np.concatenate(extra)
    value = out.value + np.logaddexp.reduce(log_weight, axis=1) - math.log(PARTICLES)
    error = np.hypot(out.error, diagnostics.log_mean_error(log_weight))
    exact = out.kind == "exact" and not _weighed(queries).any()
    return LogEvidence(value, error, "exact" if exact else "estimate", LAW)


def log_conditional(model: AnyOrder, queries: QueryBatch, given: np.ndarray, orders: int | None = None) -> LogEvidence:
    """log p(the other points | the points where `given [Q, width]`), averaged over orders of the others.

    What is given comes first in every order, so that nothing is a difference of two averages.
    """
    values, known = given_points(queries, model)
    first = known & torch.as_tensor(given, device=known.device)
    return score_points(model, values, known, orders or model.orders, first)[0]


# --- evidence


def _told(queries: QueryBatch) -> np.ndarray:
    """`[Q, width]`, where something other than a point is known."""
    return (queries.kind != NOTHING) & (queries.kind != POINT)


def _weighed(queries: QueryBatch) -> np.ndarray:
    """`[Q]`, whether the evidence leaves weights: several pieces of it, or a reading of a true real."""
    sharp = np.array([not v.discrete and v.cell is None for v in queries.schema.columns])
    return (_told(queries).sum(1) > 1) | ((queries.kind == NOISY) & sharp).any(1)


# --- paths


def _meet(model: AnyOrder, root: Contexts, queries: QueryBatch, particles: int) -> tuple[Tensor, Tensor, Tensor]:
    """Particles `[Q * P, width]` that meet each query's evidence, what they know, and their log-weights `[Q, P]`.

    The mean of the weights estimates the probability of intervals, sets and readings given the points.
    """
    values, known = given_points(queries, model)
    index = torch.arange(len(queries), device=values.device).repeat_interleave(particles)
    values, known = values[index], known[index]
    pending = torch.as_tensor(_told(queries), device=values.device)[index]
    turn = torch.rand(pending.shape, device=values.device)
    log_weight = torch.zeros(len(index), dtype=torch.float64, device=values.device)
    first = True
    while bool(pending.any()):
        going = torch.nonzero(pending.any(1))[:, 0]
        contexts = root if first else model.contexts(values[going], known[going])
        for j, at in by_column(torch.where(pending[going], turn[going], -1.0).argmax(1)):
            rows = going[at]
            law = shared(contexts, j, index[rows]) if first else contexts.law(j, at)
            met = law.meet(queries.take(index[rows].cpu().numpy()))
            values[rows, j], known[rows, j], pending[rows, j] = met.values, True, False
            log_weight[rows] += met.log_mass + met.log_weight
        first = False
        if bool(pending.any()):
            kept = _survivors(log_weight.reshape(-1, particles))
            if kept is not None:
                chosen, log_weight = kept[0], kept[1].reshape(-1)
                values, known, pending, turn = values[chosen], known[chosen], pending[chosen], turn[chosen]
    return values, known, log_weight.reshape(-1, particles)


def _survivors(log_weight: Tensor) -> tuple[Tensor, Tensor] | None:
    """Flat positions and log-weights after resampling the queries whose effective sample size is below half."""
    queries, particles = log_weight.shape
    total = torch.logsumexp(log_weight, 1, keepdim=True)
    share = torch.exp(log_weight - total).nan_to_num(1 / particles)
    poor = (1 / share.square().sum(1) < particles / 2) & torch.isfinite(total[:, 0])
    if not bool(poor.any()):
        return None
    chosen = torch.arange(particles, device=share.device).repeat(queries, 1)
    chosen[poor] = _systematic(share[poor], particles)
    kept = torch.where(poor[:, None], total - math.log(particles), log_weight)
    return (chosen + particles * torch.arange(queries, device=share.device)[:, None]).reshape(-1), kept


def _systematic(share: Tensor, number: int) -> Tensor:
    """`[Q, number]` indices in proportion to `share [Q, P]`, in random order, by systematic resampling."""
    queries, particles = share.shape
    at = (torch.arange(number, device=share.device) + torch.rand(queries, 1, device=share.device)) / number
    edges = share.cumsum(1)
    index = torch.searchsorted(edges / edges[:, -1:], at.to(share.dtype)).clamp(max=particles - 1)
    return index.gather(1, torch.rand(index.shape, device=share.device).argsort(1))


def _walk(model: AnyOrder, root: Contexts, index: Tensor, values: Tensor, known: Tensor, asked: Tensor) -> Tensor:
    """Rows with the asked cells drawn, each row in a random order of its own; the first step is `root`'s at `index`."""
    values, known, pending = values.clone(), known.clone(), asked & ~known
    turn = torch.rand(pending.shape, device=values.device)
    first = True
    while bool(pending.any()):
        going = torch.nonzero(pending.any(1))[:, 0]
        contexts = root if first else model.contexts(values[going], known[going])
        for j, at in by_column(torch.where(pending[going], turn[going], -1.0).argmax(1)):
            rows = going[at]
            if first:
                distinct, where = torch.unique(index[rows], return_inverse=True)
                drawn = contexts.law(j, distinct).draw(where)
            else:
                drawn = contexts.law(j, at).draw()
            values[rows, j], known[rows, j], pending[rows, j] = drawn, True, False
        first = False
    return values


# --- answers


def _answer(model: AnyOrder, queries: QueryBatch, draws: int, particles: int) -> Answers:
    values, known = given_points(queries, model)
    root = model.contexts(values, known)
    n, told = len(queries), _told(queries)
    index = torch.arange(n, device=values.device)
    asked = torch.as_tensor(queries.asked, device=values.device)
    cells = max(1, int(known.sum()))
    points, spread = score_points(model, values, known, min(model.orders, max(1, _SCORED // cells)))
    log_weight = np.zeros((n, 1))
    leaves, averaged = root, 1
    paths = index.repeat_interleave(draws)
    if told.any():
        values, known, met = _meet(model, root, queries, particles)
        log_weight = met.cpu().numpy()
        share = torch.softmax(torch.where(torch.isfinite(met).any(1, keepdim=True), met, 0.0), 1)
        averaged = min(_AVERAGED, particles)
        base = particles * index[:, None]
        chosen = (_systematic(share, averaged) + base).reshape(-1)
        leaves = model.contexts(values[chosen], known[chosen])
        paths = (_systematic(share, draws) + base).reshape(-1)
        root = model.contexts(values, known) if len(values) <= len(paths) else None
    if root is None:
        values, known = values[paths], known[paths]
        root, paths = model.contexts(values, known), torch.arange(len(paths), device=values.device)
    rows = asked.repeat_interleave(draws, 0)
    drawn = _walk(model, root, paths, values[paths], known[paths], rows)
    filled = torch.as_tensor(queries.asked | (queries.kind != NOTHING), device=values.device)
    drawn = torch.where(filled.repeat_interleave(draws, 0), drawn, torch.nan)
    drawn = drawn.reshape(n, draws, -1).cpu().numpy()
    weighed = _weighed(queries)
    possible: np.ndarray = np.logical_or.reduce(np.isfinite(log_weight), axis=1)
    ess = np.where(weighed, diagnostics.effective_sample_size(log_weight), float(draws))
    khat = np.where(weighed, diagnostics.pareto_k(log_weight), np.nan)
    soft = np.logaddexp.reduce(log_weight, axis=1) - math.log(log_weight.shape[1])
    return Answers(
        values=drawn[:, None],
        marginals=_marginals(queries, leaves, averaged, drawn, told),
        log_evidence=points.value + soft,
        log_evidence_se=np.hypot(points.error, np.where(weighed, diagnostics.log_mean_error(log_weight), 0.0)),
        ess=ess,
        khat=khat,
        rhat=np.full(n, np.nan),
        failures=_failures(weighed, possible, ess, khat, log_weight.shape[1]),
        stats={"order_disagreement": spread},
    )


def _failures(
    weighed: np.ndarray, possible: np.ndarray, ess: np.ndarray, khat: np.ndarray, particles: int
) -> list[str]:
    acceptable = diagnostics.acceptable_k(particles)
    out = []
    for q in range(len(ess)):
        if not possible[q]:
            out.append("the evidence has probability zero under the joint")
        elif weighed[q] and khat[q] >= acceptable and ess[q] < particles / 2:
            out.append(f"Pareto k-hat {khat[q]:.2f} of {particles} weights is above {acceptable:.2f}")
        elif weighed[q] and ess[q] < min(_LEAST_ESS, particles / 4):
            out.append(f"effective sample size {ess[q]:.0f} of {particles} particles is below {_LEAST_ESS:.0f}")
        else:
            out.append("")
    return out


def _marginals(
    queries: QueryBatch, leaves: Contexts, averaged: int, drawn: np.ndarray, told: np.ndarray
) -> dict[str, Marginal]:
    """Each target's conditionals averaged over contexts; what is told is counted from draws."""
    out = {}
    for name in queries.targets:
        columns = range(*queries.schema.slices[name].indices(queries.schema.width))
        parts = [_where_asked(queries, leaves, j, averaged) for j in columns]
        found = _stacked(parts, queries.schema[name].shape)
        some: np.ndarray = np.logical_or.reduce(told[:, list(columns)], axis=1)
        if some.any():
            found = _replaced(found, counted(queries.schema, drawn, (name,))[name], some)
        out[name] = found
    return out


def _where_asked(queries: QueryBatch, leaves: Contexts, j: int, averaged: int) -> Marginal:
    """The marginal of one column in the queries that do not give it; NaN in the others."""
    index = np.flatnonzero(queries.kind[:, j] != POINT)
    if len(index) == len(queries):
        return leaves.law(j).marginal(len(queries))
    some = index if len(index) else np.zeros(1, dtype=np.int64)
    rows = torch.as_tensor((some[:, None] * averaged + np.arange(averaged)).reshape(-1))
    part = leaves.law(j, rows).marginal(len(some))
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


def _together(parts: list[Answers]) -> Answers:
    arrays = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("values", "log_evidence", "log_evidence_se", "ess", "khat", "rhat")
    }
    marginals = {name: join_marginals([part.marginals[name] for part in parts]) for name in parts[0].marginals}
    failures = [f for part in parts for f in part.failures]
    stats = {name: np.concatenate([part.stats[name] for part in parts]) for name in parts[0].stats}
    return Answers(**arrays, marginals=marginals, failures=failures, stats=stats)
