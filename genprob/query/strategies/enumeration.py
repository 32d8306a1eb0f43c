"""Enumeration: every state that the evidence leaves, weighed and summed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch

from genprob.query.batch import QueryBatch
from genprob.query.capabilities import Enumerates, JointDensity
from genprob.query.empirical import marginals as counted
from genprob.query.states import States, sizes
from genprob.query.strategy import Answers, Offer, Refusal
from genprob.results.join import join_marginals
from genprob.results.record import QUANTILES, Marginal

if TYPE_CHECKING:
    from genprob.joint import Joint

MOST_STATES = 2**16
_FLOATS = 4_000_000
"""Numbers that the rows of one block of states may take."""
_COUNTED = 4096
"""Draws behind marginals where latents are summed out, whose conditionals have no closed form."""


class Enumeration:
    """Sums over all states: of the unknown cells where each takes finitely many values, or else of the latents.

    p(x | evidence) = p(x) p(evidence | x) / sum_x p(x) p(evidence | x), with at most 2^16 states. Cells are binaries,
    categories, and counts and rounded reals that a set or an interval leaves finitely many values of. Models known by
    a joint density sum over rows, in one pass for draws, log-evidence and exact marginals; programs whose latents are
    discrete sum over those, under evidence of any kind.
    """

    name = "enumeration"
    roles = True

    def offer(self, joint: Joint, queries: QueryBatch) -> list[Offer | Refusal]:
        model = joint.model
        latents = _latent_states(model)
        if latents:
            offer = Offer("exact", "joint", "", float(latents), f"all {latents} states of the latents are summed")
            return [offer] * len(queries)
        if not isinstance(model, JointDensity):
            return [
                Refusal("the model has neither a joint density nor finitely many latent states", lacking=True)
            ] * len(queries)
        return [_said(queries, row) for row in sizes(queries)]

    def answer(self, joint: Joint, queries: QueryBatch, draws: int, budget: int | None) -> Answers:
        latents = _latent_states(joint.model)
        if latents:
            assert isinstance(joint.model, Enumerates)
            return _summed(joint.model, queries, draws)
        assert isinstance(joint.model, JointDensity)
        device = joint.reference.values.device
        total = sizes(queries).prod(1)
        order = np.argsort(total, kind="stable")
        parts = [_listed(joint.model, queries.take(part), draws, device) for part in _chunks(order, total)]
        back = np.argsort(order, kind="stable")
        log_evidence = np.concatenate([p[1] for p in parts])[back] - joint.model.log_partition
        marginals = {n: join_marginals([p[2][n] for p in parts]).take(back) for n in queries.targets}
        error = np.full(len(queries), float(joint.model.log_partition_se))
        return _answers(np.concatenate([p[0] for p in parts])[back], marginals, log_evidence, error)


def _latent_states(model: object) -> int:
    states = model.latent_states() if isinstance(model, Enumerates) else 0
    return states if states <= MOST_STATES else 0


def _said(queries: QueryBatch, size: np.ndarray) -> Offer | Refusal:
    endless = np.flatnonzero(np.isinf(size))
    if len(endless):
        return Refusal(f"{queries.schema.columns[endless[0]].name!r} takes infinitely many values under this evidence")
    with np.errstate(divide="ignore"):
        digits = float(np.log10(size).sum())
    if digits > np.log10(MOST_STATES):
        number = f"{size.prod():.0f}" if digits < 9 else f"1e{digits:.0f}"
        return Refusal(f"the evidence leaves {number} states, more than {MOST_STATES}")
    states = int(size.prod())
    return Offer("exact", "joint", "", float(states), f"all {states} states that the evidence leaves are summed")


def _chunks(order: np.ndarray, total: np.ndarray) -> Iterator[np.ndarray]:
    """Parts of `order` whose queries have about as many states and fit in memory together."""
    first = 0
    while first < len(order):
        last = first + 1
        while last < len(order) and total[order[last]] * (last + 1 - first) <= _FLOATS // 8:
            last += 1
        yield order[first:last]
        first = last


def _listed(
    model: JointDensity, queries: QueryBatch, draws: int, device: torch.device
) -> tuple[np.ndarray, np.ndarray, dict[str, Marginal]]:
    """Draws, log of the sum, and marginals, over all states of the unknown cells."""
    states = States.of(queries)
    most = int(states.total.max())
    log_mass = np.full((len(queries), most), -np.inf)
    block = max(1, _FLOATS // (len(queries) * queries.schema.width))
    for first in range(0, most, block):
        state = np.arange(first, min(first + block, most))[None]
        rows, told = states.rows(np.minimum(state, states.total[:, None] - 1))
        with torch.no_grad():
            found = model.log_joint(torch.as_tensor(rows, device=device)).double().cpu().numpy()
        there = state < states.total[:, None]
        log_mass[:, first : first + block] = np.where(there & (told > -np.inf), found + told, -np.inf)
    log_sum = np.logaddexp.reduce(log_mass, axis=1)
    possible = np.isfinite(log_sum)
    share = np.exp(np.where(possible[:, None], log_mass - np.where(possible, log_sum, 0.0)[:, None], -np.inf))
    share[~possible, 0] = 1.0
    values = states.rows(torch.multinomial(torch.as_tensor(share), draws, replacement=True).numpy())[0]
    values[~possible] = np.nan
    return values, log_sum, {name: _marginal(states, name, share) for name in queries.targets}


def _marginal(states: States, name: str, share: np.ndarray) -> Marginal:
    """One variable's marginal, of states that have `share [Q, n]` of the mass."""
    schema = states.queries.schema
    variable, columns = schema[name], schema.slices[name]
    queries, shape = len(share), (len(share), *variable.shape)
    numeric = variable.support.kind != "categorical"
    rows = np.arange(queries)[:, None]
    state = np.minimum(np.arange(share.shape[1])[None], states.total[:, None] - 1)
    parts: dict[str, list[np.ndarray]] = {"mean": [], "sd": [], "quantiles": [], "pmf": []}
    for j in range(columns.start, columns.stop):
        values = states.values[j]
        place = rows * values.shape[1] + states.digit(state, j)
        mass = np.bincount(place.ravel(), share.ravel(), values.size).reshape(values.shape)
        x = np.nan_to_num(values)
        if variable.cardinality is not None:
            levels = np.arange(variable.cardinality)
            parts["pmf"].append((mass[..., None] * (values[..., None] == levels)).sum(1))
        mean = (mass * x).sum(1)
        parts["mean"].append(mean)
        parts["sd"].append(np.sqrt((mass * (x - mean[:, None]) ** 2).sum(1)))
        order = np.argsort(np.where(np.isnan(values), np.inf, values), axis=1, kind="stable")
        cumulative = np.take_along_axis(mass, order, 1).cumsum(1)
        ordered = np.take_along_axis(x, order, 1)
        at = [(cumulative < level - 1e-12).sum(1).clip(max=values.shape[1] - 1) for level in QUANTILES]
        parts["quantiles"].append(np.stack([ordered[np.arange(queries), a] for a in at], 1))
    stacked = {key: np.stack(found, 1) for key, found in parts.items() if found}
    pmf = stacked["pmf"].reshape(*shape, -1) if "pmf" in stacked else None
    none = None if pmf is None else np.zeros_like(pmf)
    blank = np.full(shape, np.nan)
    quantiles = np.moveaxis(stacked["quantiles"], 1, -1).reshape(queries, len(QUANTILES), *variable.shape)
    if not numeric:
        return Marginal(blank, blank, blank, np.full_like(quantiles, np.nan), pmf, none, True)
    mean, sd = stacked["mean"].reshape(shape), stacked["sd"].reshape(shape)
    return Marginal(mean, sd, np.zeros(shape), quantiles, pmf, none, True)


def _summed(model: Enumerates, queries: QueryBatch, draws: int) -> Answers:
    """Answers by the sum over the latents."""
    cloud = model.enumerate(queries)
    log_evidence = torch.logsumexp(cloud.log_weight, 1).cpu().numpy()
    possible = torch.isfinite(cloud.log_weight).any(1, keepdim=True)
    share = torch.softmax(torch.where(possible, cloud.log_weight, 0.0), 1)
    values = cloud.draw(torch.multinomial(share, draws, replacement=True))
    many = values if draws >= _COUNTED else cloud.draw(torch.multinomial(share, _COUNTED, replacement=True))
    found = counted(queries.schema, many, queries.targets)
    return _answers(values, found, log_evidence, np.zeros(len(queries)))


def _answers(values: np.ndarray, marginals: dict[str, Marginal], evidence: np.ndarray, error: np.ndarray) -> Answers:
    blank = np.full(len(values), np.nan)
    impossible = "the evidence has probability zero under the joint"
    return Answers(
        values=values[:, None],
        marginals=marginals,
        log_evidence=evidence,
        log_evidence_se=error,
        ess=np.full(len(values), float(values.shape[1])),
        khat=blank,
        rhat=blank,
        failures=["" if np.isfinite(e) else impossible for e in evidence],
    )
