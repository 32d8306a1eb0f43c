"""Marginals of a machine: the probability of evidence, and weighted hidden states that answer it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from genprob.data.batch import Batch
from genprob.engine.transition import Kernel
from genprob.metrics.partition import anneal
from genprob.query import emission
from genprob.query.batch import POINT, QueryBatch
from genprob.query.diagnostics import log_mean_error
from genprob.query.emission import EmissionCloud
from genprob.query.log_evidence import LogEvidence
from genprob_energy import evidence
from genprob_energy.machine import BlockGibbs, Machine, MachinePath
from genprob_energy.truncated import draw_within
from genprob_energy.units import binary_states, encoded

if TYPE_CHECKING:
    from genprob_energy.layers import Layers
    from genprob_energy.rbm import RBM

CHAINS, TEMPERATURES = 64, 100
"""Of the annealing that scores evidence whose probability has no closed form."""
_QUICK = (16, 25)
"""The same for the support of evidence, which is only ranked."""
_ROWS = 50_000
"""Chains moved at once."""


class AnnealedCloud(EmissionCloud):
    """Hidden states whose weights hold the evidence already."""

    def __init__(self, model: RBM, drive: Tensor, log_weight: Tensor, queries: QueryBatch) -> None:
        self.heads, self.shifted, self.queries, self.log_weight = model.units.heads, drive, queries, log_weight


def listed(model: RBM, queries: QueryBatch) -> EmissionCloud:
    """All hidden states, each weighted by p(h); the cloud weighs the evidence."""
    machine = model.machine()
    states = binary_states(len(model.hidden), model.precision, model.weight.device)
    log_share = machine.log_hidden(states).double()
    log_share = log_share - torch.logsumexp(log_share, 0)
    drive = machine.down(states).double().expand(len(queries), -1, -1)
    return EmissionCloud(model.units.heads, drive, log_share.expand(len(queries), -1), queries)


def annealed(model: RBM, queries: QueryBatch, particles: int) -> AnnealedCloud:
    """Hidden states from chains annealed under the evidence (Neal 2001), properly weighted; Z is taken as known."""
    machine = model.machine()
    drives, weights = [], []
    step = max(1, _ROWS // particles)
    for first in range(0, len(queries), step):
        part = queries.take(slice(first, first + step))
        log_weight, points = _anneal(model, machine, part, particles, TEMPERATURES)
        drive = machine.down(machine.draw_hidden(points)).double()
        drives.append(drive.reshape(len(part), particles, -1))
        weights.append(log_weight - model.partition().value - math.log(particles))
    return AnnealedCloud(model, torch.cat(drives), torch.cat(weights), queries)


def _anneal(
    model: Layers, machine: Machine, queries: QueryBatch, particles: int, temperatures: int
) -> tuple[Tensor, Tensor]:
    """log of unbiased estimates `[Q, particles]` of Z times p(evidence), and points `[Q particles, schema.width]`."""
    known = evidence.of_queries(model.units.heads, queries, model.precision, model.weight.device)
    start = model.base.double().expand(len(queries), particles, -1)
    log_mass = emission.log_mass(model.units.heads, start[:, :1], queries)[:, 0]
    log_first = log_mass + model.units.log_normaliser(model.base.double()) + len(model.hidden) * math.log(2)
    each = known.repeat(particles)
    if known.boxes or known.readings:
        rows = emission.draw(model.units.heads, start, queries)
        first = encoded(model.units.heads, torch.as_tensor(rows, device=start.device)).to(model.precision)
        first = first.reshape(-1, queries.schema.width)
        _scatter(model, first, rows.reshape(-1, queries.schema.width))
    else:
        first = model.units.draw(model.base.expand(len(queries) * particles, -1), each)
    path = MachinePath(machine, first, log_first, each)
    log_weight, points = anneal(path, model.stored.path(temperatures))
    return log_weight.reshape(len(queries), particles) + log_first[:, None], points


class ClampedChains:
    """Block Gibbs chains of each query, half of them from kept draws, half from chains annealed under the evidence."""

    def __init__(self, model: Layers, queries: QueryBatch, chains: int) -> None:
        self.model, self.queries, self.chains = model, queries, chains
        self.machine = model.machine()
        known = evidence.of_queries(model.units.heads, queries, model.precision, model.weight.device)
        self.evidence = known.repeat(chains)
        self.log_weight, self.annealed = _anneal(model, self.machine, queries, max(CHAINS // 2, chains), TEMPERATURES)

    def start(self) -> Tensor:
        queries, chains = len(self.queries), self.chains
        out = self.model.stored.draw(queries * chains).reshape(queries, chains, -1)
        share = torch.softmax(self.log_weight.nan_to_num(neginf=-1e9), 1)
        chosen = torch.multinomial(share, chains, replacement=True)
        guided = self.annealed.reshape(queries, -1, out.shape[-1]).gather(
            1, chosen[..., None].expand(-1, -1, out.shape[-1])
        )
        out[:, 1::2] = guided[:, 1::2]
        return out

    def kernel(self, warmup: int) -> Kernel:
        return BlockGibbs(self.machine, self.evidence)

    def rows(self, points: Tensor) -> np.ndarray:
        return self.model.rows(points)

    def log_evidence(self, seen: Tensor) -> tuple[np.ndarray, np.ndarray]:
        weight = self.log_weight.cpu().numpy()
        partition = self.model.partition()
        value = np.logaddexp.reduce(weight, axis=1) - math.log(weight.shape[1]) - partition.value
        return value, np.hypot(log_mean_error(weight), partition.error)


def _scatter(model: Layers, points: Tensor, rows: np.ndarray) -> None:
    """Moves the points of cells, which stand at their centres, to draws of independent units within their cells."""
    encoder, n = model.units.heads.encoder, len(model.units.reals)
    if not any(encoder.cells):
        return
    lower, upper = encoder.edges(torch.as_tensor(rows[:, model.units.reals], device=points.device))
    scale = model.units.heads.scale().to(points.dtype)
    for c, cell in enumerate(encoder.cells):
        if cell is not None:
            loc = model.base[:n][c].expand(len(points))
            z = draw_within(loc, scale[c], lower[:, c, None].to(points.dtype), upper[:, c, None].to(points.dtype))
            points[:, model.units.reals[c]] = z


def _point_jacobian(model: Layers, queries: QueryBatch) -> Tensor:
    """log |dz/dx| of the given true reals, `[Q]`."""
    encoder, reals = model.units.heads.encoder, model.units.heads.reals
    if not reals:
        return torch.zeros(len(queries), dtype=torch.float64, device=model.weight.device)
    sharp = np.array([cell is None for cell in encoder.cells])
    known = torch.as_tensor((queries.kind[:, reals] == POINT) & sharp, device=model.weight.device)
    x = torch.as_tensor(np.nan_to_num(queries.a[:, reals]), device=known.device)
    centre = encoder.decode(torch.zeros(len(reals), dtype=torch.float64, device=known.device))
    x = encoder.inside(torch.where(known, x, centre))
    return torch.where(known, encoder.log_jacobian(x), 0.0).sum(-1)


def _sharp(model: Layers, queries: QueryBatch) -> np.ndarray:
    """Queries that give every column to a point, none of them a cell."""
    cells = np.array([v.cell is not None for v in queries.schema.columns])
    return ((queries.kind == POINT) & ~cells).all(1)


def log_evidence(model: Layers, queries: QueryBatch) -> LogEvidence:
    """Closed form given Z for whole rows, summed over hidden states where they are few, annealed otherwise."""
    partition = model.partition()
    value, error = np.zeros(len(queries)), np.zeros(len(queries))
    whole = _sharp(model, queries)
    if whole.any():
        part = queries.take(whole)
        points = torch.as_tensor(part.a, device=model.weight.device)
        free = -model.machine().free_energy(encoded(model.units.heads, points).to(model.precision)).double()
        value[whole] = (free + _point_jacobian(model, part) - partition.value).cpu().numpy()
    rest = np.flatnonzero(~whole & (queries.kind != 0).any(1))
    summed = model.summed_evidence(queries.take(rest)) if len(rest) else None
    if summed is not None:
        value[rest] = summed
    elif len(rest):
        machine, step = model.machine(), max(1, _ROWS // CHAINS)
        for first in range(0, len(rest), step):
            at = rest[first : first + step]
            weight = _anneal(model, machine, queries.take(at), CHAINS, TEMPERATURES)[0].cpu().numpy()
            value[at] = np.logaddexp.reduce(weight, axis=1) - math.log(CHAINS) - partition.value
            error[at] = log_mean_error(weight)
    exact = partition.kind == "exact" and (summed is not None or not len(rest))
    return LogEvidence(value, error, "exact" if exact else "estimate", "joint", partition.error)


def score(model: Layers, batch: Batch, observed: Tensor) -> Tensor:
    """log p(known cells), `[rows]`, by few chains with random numbers that are always the same."""
    known = observed.cpu().numpy()
    values = np.where(known, batch.values.double().cpu().numpy(), np.nan)
    queries = QueryBatch.from_values(batch.schema, values)
    whole = _sharp(model, queries)
    summed = None if whole.all() else model.summed_evidence(queries)
    if whole.all() or summed is not None:
        value = log_evidence(model, queries).value if summed is None else summed
        return torch.as_tensor(value, device=batch.values.device)
    chains, temperatures = _QUICK
    machine, parts = model.machine(), []
    log_z = model.partition().value
    devices = [batch.values.device.index or 0] if batch.values.is_cuda else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(0)
        step = max(1, _ROWS // chains)
        for first in range(0, len(queries), step):
            weight = _anneal(model, machine, queries.take(slice(first, first + step)), chains, temperatures)[0]
            parts.append(torch.logsumexp(weight, 1) - math.log(chains) - log_z)
    return torch.cat(parts)
