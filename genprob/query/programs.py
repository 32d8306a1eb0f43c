"""Latent Pyro programs that emit their variables: sampled, scored and queried through model and guide alone."""

from __future__ import annotations

import functools
import math
import types
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pyro
import torch
from pyro import poutine
from pyro.poutine import Trace
from pyro.poutine.util import site_is_subsample
from torch import Tensor

from genprob.data.batch import Batch
from genprob.data.schema import Variable
from genprob.data.support import Positive
from genprob.engine import sites
from genprob.engine.capabilities import Posterior
from genprob.engine.sites import Site
from genprob.errors import PluginError
from genprob.model import EMISSION, Model
from genprob.nets.heads import Heads
from genprob.query import latents, roles
from genprob.query.batch import NOISY, NOTHING, POINT, RANGE, QueryBatch
from genprob.query.capabilities import Draws, Proposes
from genprob.query.completion import Completion
from genprob.query.emission import EmissionCloud, Mass
from genprob.query.emission import draw as draw_rows
from genprob.query.latents import LatentPath
from genprob.query.roles import Held, RoleCloud, log_told

DEFENSIVE = 10
"""One pair of particles in so many comes from the prior, whatever the guide says."""
_ROWS = 100_000
"""Rows of latents and decoder outputs that are computed at once."""
_SCORED = 64
"""Particles of the quick log-density."""


class LatentProgram(Model):
    """What a model/guide pair that ends in `Model.emit` can do: draw, propose, score rows; anneal or sum its latents.

    Particles are drawn from the mixture of the guide and the prior (a tenth, so that the support is covered however
    wrong the guide is) and weighted by p(z) p(evidence | z) / q(z), which estimates the evidence without bias. The
    guide is shown points as they are, readings and the middles of intervals as if they were points, nothing else.

    See also: Hesterberg 1995, Weighted average importance sampling and defensive mixture distributions.
    """

    precision = torch.float64
    direct = True

    @torch.no_grad()
    def draw(self, draws: int) -> np.ndarray:
        nothing = QueryBatch.empty(self.schema, 1)
        trace = poutine.trace(poutine.uncondition(self.model)).get_trace(self._rows(nothing, draws))
        return draw_rows(self._emitting(), self._outputs(trace, draws)[None], nothing)[0]

    @torch.no_grad()
    def declared(self) -> tuple[Variable, ...]:
        """The latents of a row."""
        trace = poutine.trace(self.model).get_trace(self._rows(QueryBatch.empty(self.schema, 1), 1))
        nodes: dict[str, Any] = dict(trace.nodes)
        return tuple(roles.variable(n, nodes[n]["fn"], z, "latent") for n, z in _latents(trace, 1).items())

    @torch.no_grad()
    def propose(self, queries: QueryBatch, particles: int) -> EmissionCloud | RoleCloud:
        step = max(1, _ROWS // particles)
        parts = [self._particles(queries.take(slice(q, q + step)), particles) for q in range(0, len(queries), step)]
        shifted, log_weight, codes = (torch.cat(part) for part in zip(*parts, strict=True))
        told = queries.part(self.schema)
        cloud = EmissionCloud(self._emitting(), shifted, log_weight - math.log(particles), told)
        return RoleCloud(cloud, codes, queries) if queries is not told else cloud

    # --- sums over discrete latents

    @torch.no_grad()
    def latent_states(self) -> int:
        found = sites.listed(self._laws(QueryBatch.empty(self.schema, 1)))
        if found is None:
            return 0
        return sites.states(found)

    @torch.no_grad()
    def enumerate(self, queries: QueryBatch) -> EmissionCloud | RoleCloud:
        told = queries.part(self.schema)
        lists = sites.listed(self._laws(told))
        assert lists is not None
        count = self.latent_states()
        states = sites.product(lists, count)  # of no latents there is one
        step = max(1, _ROWS // count)
        parts = []
        for q in range(0, len(queries), step):
            part = queries.take(slice(q, q + step))
            copies = {name: z.repeat(len(part), *[1] * (z.ndim - 1)) for name, z in states.items()}
            shifted, log_prior = self._conditioned(part.part(self.schema), copies, count)
            misses = Held.of(part, self.schema, count, shifted.device).misses(copies, count * len(part))
            log_prior = log_prior.masked_fill(misses.reshape(log_prior.shape).to(shifted.device), -torch.inf)
            parts.append((shifted, log_prior, self._codes(queries, copies, log_prior.shape)))
        shifted, log_weight, codes = (torch.cat(part) for part in zip(*parts, strict=True))
        cloud = EmissionCloud(self._emitting(), shifted, log_weight, told)
        return RoleCloud(cloud, codes, queries) if queries is not told else cloud

    # --- chains of continuous latents

    @torch.no_grad()
    def unannealed(self) -> str:
        found = self._laws(QueryBatch.empty(self.schema, 1))
        if not found:
            return "the program has no latents"
        discrete = [name for name, (law, _) in found.items() if law.support.is_discrete]
        return f"latent {discrete[0]!r} is discrete" if discrete else ""

    @torch.no_grad()
    def path(self, queries: QueryBatch) -> LatentPath:
        heads, asked, queries = self._emitting(), queries, queries.part(self.schema)

        def prior(rows: int) -> dict[str, Tensor]:
            trace = poutine.trace(self.model).get_trace(self._rows(queries, rows // len(queries)))
            return _latents(trace, rows)

        rows_of, mass = functools.cache(functools.partial(self._rows, queries)), Mass(heads, queries)

        def scores(values: dict[str, Tensor], copies: int) -> tuple[Tensor, Tensor]:
            with pyro.validation_enabled(False):  # a trajectory may leave the numbers; it is refused for that
                shifted, log_prior = self._conditioned(queries, values, copies, rows_of(copies))
                codes = self._codes(asked, values, log_prior.shape)
                return log_prior, mass(shifted) + log_told(asked, codes, self.schema.width)

        found = self._laws(queries)
        return LatentPath([Site.of(n, law, z) for n, (law, z) in found.items()], prior, scores, len(queries))

    @torch.no_grad()
    def cloud(self, queries: QueryBatch, points: Tensor, log_weight: Tensor) -> EmissionCloud | RoleCloud:
        told = queries.part(self.schema)
        values, _ = self.path(told).values(points)
        shifted, _ = self._conditioned(told, values, points.shape[1])
        cloud = EmissionCloud(self._emitting(), shifted, log_weight, told, weighed=True)
        codes = self._codes(queries, values, log_weight.shape)
        return RoleCloud(cloud, codes, queries, weighed=True) if queries is not told else cloud

    @torch.no_grad()
    def guided(self, queries: QueryBatch, chains: int) -> Tensor:
        queries = queries.part(self.schema)
        rows, path = len(queries) * chains, self.path(queries)
        drawn = path.prior(rows) | _latents(poutine.trace(self.guide).get_trace(self._rows(queries, chains)), rows)
        return torch.cat([site.encode(drawn[site.name]) for site in path.sites], 1).reshape(len(queries), chains, -1)

    @torch.no_grad()
    def completion(self, queries: QueryBatch, chains: int) -> Completion:
        shape, heads = (len(queries), chains), self._emitting()
        count = len(queries) * chains

        def whole(rows: np.ndarray) -> Batch:
            values = torch.as_tensor(rows.reshape(count, -1), dtype=self.precision, device=heads.offset.device)
            known = torch.ones_like(values, dtype=torch.bool)
            return Batch(self.schema, values, known, torch.arange(count, device=values.device), count)

        def propose(rows: np.ndarray) -> tuple[dict[str, Tensor], Tensor]:
            trace = poutine.trace(self.guide).get_trace(whole(rows))
            drawn = _latents(trace, count)
            if set(drawn) != set(start):
                raise PluginError(f"{type(self).__name__}: the guide does not draw all latents of the model")
            return drawn, sum((_log_prob(trace, name, count) for name in drawn), torch.zeros(())).reshape(shape)

        def density(values: dict[str, Tensor], rows: np.ndarray) -> Tensor:
            trace = poutine.trace(poutine.condition(self.guide, data=values)).get_trace(whole(rows))
            return sum((_log_prob(trace, name, count) for name in values), torch.zeros(())).reshape(shape)

        def judge(values: dict[str, Tensor], rows: np.ndarray) -> tuple[Tensor, Tensor]:
            batch = whole(rows)
            with self.emitting("none"):
                trace = poutine.trace(poutine.condition(self.model, data=values)).get_trace(batch)
            log_prior = sum((_log_prob(trace, name, count) for name in values), torch.zeros(()))
            outputs = self._outputs(trace, count)
            told = heads.log_likelihood(outputs - heads.offset, batch)
            return (log_prior + told).reshape(shape), outputs.reshape(*shape, -1)

        with self.emitting("none"):
            trace = poutine.trace(self.model).get_trace(self._rows(queries, chains))
        start = _latents(trace, count)
        rows = draw_rows(heads, self._outputs(trace, count).reshape(*shape, -1), queries)
        log_joint, _ = judge(start, rows)
        return Completion(heads, queries, propose, judge, density, start, rows, log_joint)

    def _laws(self, queries: QueryBatch) -> dict[str, tuple[Any, Tensor]]:
        """Each latent's law and a value of it, a row a query."""
        trace = poutine.trace(self.model).get_trace(self._rows(queries, 1))
        return latents.laws(trace, list(_latents(trace, len(queries))))

    def _conditioned(
        self, queries: QueryBatch, values: dict[str, Tensor], copies: int, batch: Batch | None = None
    ) -> tuple[Tensor, Tensor]:
        """The decoder's outputs `[Q, copies, width]` and log p(latents) `[Q, copies]` at given latents."""
        shape, rows = (len(queries), copies), len(queries) * copies
        batch = self._rows(queries, copies) if batch is None else batch
        with self.emitting("none"):
            trace = poutine.trace(poutine.condition(self.model, data=values)).get_trace(batch)
        log_prior = sum((_log_prob(trace, name, rows) for name in values), torch.zeros(rows, dtype=torch.float64))
        return self._outputs(trace, rows).reshape(*shape, -1), log_prior.reshape(shape)

    def score_rows(self, batch: Batch) -> Tensor:
        """log p(known cells) by a few particles, always the same ones, `[rows]`."""
        values = np.where(batch.observed.cpu().numpy(), batch.values.double().cpu().numpy(), np.nan)
        with torch.random.fork_rng(devices=_devices(batch.values)):
            torch.manual_seed(0)
            cloud = self.propose(QueryBatch.from_values(self.schema, values), _SCORED)
        return torch.logsumexp(cloud.log_weight, 1)

    def score_masks(self, batch: Batch, masks: Tensor) -> Tensor:
        """`score_rows` of rows seen through each of many masks, `[masks, rows]`."""
        return torch.stack([self.score_rows(replace(batch, observed=batch.observed & mask)) for mask in masks])

    # --- inside

    def _particles(self, queries: QueryBatch, particles: int) -> tuple[Tensor, Tensor, Tensor]:
        """The decoder's outputs `[Q, J, width]`, log p(z) / q(z), `[Q, J]`, and z, of latents near the evidence."""
        shape, rows = (len(queries), particles), len(queries) * particles
        batch = self._rows(queries.part(self.schema), particles)
        held = Held.of(queries, self.schema, particles, batch.values.device)
        with held:
            guided = _latents(poutine.trace(self.guide).get_trace(batch), rows)
        with self.emitting("none"), held:
            prior = _latents(poutine.trace(self.model).get_trace(batch), rows)
        position = torch.arange(particles, device=batch.values.device)
        defended = ((position // 2) % DEFENSIVE == 0).repeat(len(queries))
        unknown = sorted({*guided} - {*prior})
        if unknown:
            raise PluginError(f"{type(self).__name__}: the guide samples {unknown[0]!r}, which the model does not")
        chosen = {
            name: torch.where(defended.reshape(-1, *[1] * (z.ndim - 1)), prior[name].to(z.dtype), z)
            for name, z in guided.items()
        }
        with self.emitting("none"), held:
            model = poutine.trace(poutine.condition(self.model, data=chosen)).get_trace(batch)
        guide = poutine.trace(poutine.condition(self.guide, data=chosen)).get_trace(batch)
        none = torch.zeros(rows, dtype=torch.float64)
        each = {name: _log_prob(model, name, rows) for name in chosen}
        log_p = sum((held.free(name, part) for name, part in each.items()), none)
        log_g = sum((held.free(name, _log_prob(guide, name, rows)) for name in chosen), none)
        share = float(defended[:particles].double().mean())
        log_q = log_p
        if share < 1:
            log_q = torch.logaddexp(log_p + math.log(share), log_g + math.log1p(-share))
        given = {name: each[name] if name in each else _log_prob(model, name, rows) for name in held.given}
        told = sum((part - held.free(name, part) for name, part in given.items()), none)
        shifted = self._outputs(model, rows).reshape(*shape, -1)
        log_weight = torch.where(torch.isfinite(log_p + told), log_p - log_q + told, -torch.inf).reshape(shape)
        return shifted, log_weight, self._codes(queries, chosen | _latents(model, rows), log_weight.shape)

    def _codes(self, queries: QueryBatch, values: dict[str, Tensor], shape: torch.Size) -> Tensor:
        """The latents as the further columns of queries that have them, `[*shape, columns]`."""
        declared = queries.schema.variables[len(self.schema) :]
        parts = [values[v.name].double().reshape(*shape, -1) for v in declared]
        return torch.cat(parts, -1) if parts else torch.zeros(*shape, 0, dtype=torch.float64)

    def _rows(self, queries: QueryBatch, copies: int) -> Batch:
        """Each query `copies` times, as rows that know what can be said by a value."""
        values, known = filled(queries)
        heads = self._emitting()
        dtype, device = self.precision, heads.offset.device
        repeated = torch.as_tensor(values, dtype=dtype, device=device).repeat_interleave(copies, 0)
        observed = torch.as_tensor(known, device=device).repeat_interleave(copies, 0)
        n = len(repeated)
        return Batch(self.schema, repeated, observed, torch.arange(n, device=device), n, copies)

    def _emitting(self) -> Heads:
        if self.heads is None:
            raise PluginError(
                f"{type(self).__name__} emits no variables: end `model` in self.emit(parameters, batch), or bring "
                "capabilities of genprob.query.capabilities"
            )
        return self.heads

    def _outputs(self, trace: Trace, rows: int) -> Tensor:
        heads = self._emitting()
        if EMISSION not in trace.nodes:
            raise PluginError(f"{type(self).__name__}.model never calls self.emit(parameters, batch)")
        site: Any = trace.nodes[EMISSION]
        parameters = site["value"].double()
        return heads.shifted(parameters).expand(rows, heads.width)


def capable(factory: Callable[..., Any], *, sampled: bool = False) -> Callable[..., Any]:
    """The factory of the same model with the capabilities of a program, if it is a program without its own.

    Those of `LatentProgram` where it has a guide; where its unknowns are `sampled`, those of `PosteriorPredictive`. A
    factory is left alone unless it is a `Model` with a model that neither draws nor proposes.
    """
    if not isinstance(factory, type) or not issubclass(factory, Model) or issubclass(factory, LatentProgram):
        return factory
    if factory.model is Model.model or issubclass(factory, Draws) or issubclass(factory, Proposes):
        return factory
    if sampled and not issubclass(factory, Posterior):
        from genprob.query.predictive import PosteriorPredictive  # which stands on this module

        return _extended(factory, PosteriorPredictive)
    return factory if factory.guide is Model.guide else _extended(factory, LatentProgram)


@functools.cache
def _extended(factory: type[Model], base: type[Model]) -> type[Model]:
    about = {name: getattr(factory, name) for name in ("__module__", "__qualname__", "__doc__")}
    return types.new_class(factory.__name__, (factory, base), exec_body=lambda space: space.update(about))


def filled(queries: QueryBatch) -> tuple[np.ndarray, np.ndarray]:
    """Values `[Q, width]` within the supports for the guide to see, and where there is one."""
    values, known = np.zeros(queries.kind.shape), np.zeros(queries.kind.shape, dtype=bool)
    for j, variable in enumerate(queries.schema.columns):
        kind, a, b = queries.kind[:, j], queries.a[:, j], queries.b[:, j]
        typical = 1.0 if isinstance(variable.support, Positive) else 0.0
        if variable.support.kind == "interval":
            typical = (variable.support.lo + variable.support.hi) / 2  # pyright: ignore[reportAttributeAccessIssue]
        values[:, j] = typical
        if not (kind != NOTHING).any():
            continue
        with np.errstate(invalid="ignore"):
            value = np.where(kind == RANGE, (a + b) / 2, a)
        if variable.is_count:
            value = np.maximum(np.rint(value), 0.0)
        seen = np.isin(kind, (POINT, RANGE, NOISY)) & np.isfinite(value)
        if variable.cell is None:
            seen &= variable.support.contains(np.where(seen, value, typical))
        values[seen, j], known[seen, j] = value[seen], True
    return values, known


def _latents(trace: Trace, rows: int) -> dict[str, Tensor]:
    """Values of the latent sites, each with the rows in front."""
    out = {}
    nodes: dict[str, Any] = dict(trace.nodes)
    for name, site in nodes.items():
        if site["type"] != "sample" or site["is_observed"] or site_is_subsample(site):
            continue
        value = site["value"]
        if not value.ndim or value.shape[0] != rows:
            raise PluginError(
                f"latent site {name!r} has the shape {tuple(value.shape)} for {rows} rows; every latent belongs inside "
                "batch.plate(), with the rows in front"
            )
        out[name] = value
    return out


def _log_prob(trace: Trace, name: str, rows: int) -> Tensor:
    """log-density of one site, `[rows]` float64."""
    site: Any = trace.nodes[name]
    out = site["fn"].log_prob(site["value"]).double()
    return out.expand(rows) if out.ndim < 2 else out.reshape(rows, -1).sum(-1)


def _devices(values: Tensor) -> list[int]:
    return [values.device.index or 0] if values.is_cuda else []
