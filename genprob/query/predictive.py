"""Programs whose unknowns are known by draws: rows predicted by them, draws weighed by new evidence."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from pyro import poutine
from pyro.poutine.util import site_is_subsample
from torch import Tensor
from torch.overrides import TorchFunctionMode

from genprob.data.batch import Batch
from genprob.data.schema import Variable
from genprob.data.support import Interval, Real
from genprob.engine import sites
from genprob.engine.unknowns import PLATE, written
from genprob.errors import UsageError
from genprob.model import Model
from genprob.nets.heads import Encoded
from genprob.query import roles
from genprob.query.batch import NOTHING, POINT, QueryBatch
from genprob.query.believed import Believed
from genprob.query.diagnostics import log_mean_error
from genprob.query.likelihood import log_ceiling, log_likelihood
from genprob.query.log_evidence import LogEvidence
from genprob.query.programs import filled

_SCORED = 256
"""Draws that a score rests on."""
_NUMBERS = 8_000_000
"""Rows times draws times columns that are computed at once."""


class PosteriorPredictive(Model):
    """What a program without a guide can do once its unknowns were sampled (`nuts`, `hmc`).

    A new row follows from one draw of the parameters, its own latents drawn from their law given them, and the laws of
    the variables, one after the other in the order of the program. Points weigh the draw by their density, everything
    else that is told by its likelihood, so that the weighted draws are those of p(row, parameters | rows fitted,
    evidence). Variables that the program gives no law are covariates: they are to be given, and `draw` takes them from
    rows fitted. On cells of a law of the author's own a probability is the density at the centre times the width.
    """

    precision = torch.float64
    law = "posterior predictive"
    believed: Believed | None = None
    reference: Batch
    _tangled: str = ""

    def believe(self, believed: Believed, reference: Batch) -> None:
        """Takes the draws of the fit over, and rows whose covariates the joint is sampled with."""
        self.believed, self.reference = believed, reference
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            self._tangled = self._read_too_early()

    def doubt(self) -> str:
        """Why the chains of the fit are not to be trusted; see `genprob.query.capabilities.Doubtful`."""
        return self.believed.doubt() if self.believed else ""

    @torch.no_grad()
    def declared(self) -> tuple[Variable, ...]:
        """The parameters, as far as there are draws of them, and the latents of a row."""
        nodes = self._nodes({}, self._blank(1))
        out = []
        for name, draws in (self.believed.draws if self.believed else {}).items():
            if name in nodes and name in self._sampled(nodes, inside=False):
                out.append(roles.variable(name, nodes[name]["fn"], draws[:1], "parameter"))
            else:
                shape = tuple(draws.shape[1:])
                dims = tuple(f"{name}_dim_{i}" for i in range(len(shape)))
                out.append(Variable(name, Real(), None, dims, shape, role="parameter"))
        inside = self._sampled(nodes, inside=True)
        return (*out, *(roles.variable(n, nodes[n]["fn"], nodes[n]["value"], "latent") for n in inside))

    @torch.no_grad()
    def unpredictable(self, queries: QueryBatch) -> list[str]:
        """Why each query has no answer by draws of the parameters; empty where it has."""
        if self.believed is None:
            return ["the fit has kept no draws of the parameters yet"] * len(queries)
        nodes, schema = self._nodes({}, self._blank(1)), self.schema
        summed = [n for n in self._sampled(nodes, inside=False) if n not in self.believed.draws]
        covariates = [v for v in schema if v.name not in nodes]
        out = []
        for q, rows in enumerate(self._rows_matter(queries)):
            if rows and self._tangled:
                out.append(self._tangled)
                continue
            without = next((v.name for v in covariates if (queries.kind[q, schema.slices[v.name]] != POINT).any()), "")
            if rows and summed:
                out.append(f"discrete site {summed[0]!r} was summed out, so there are no draws of it")
            elif rows and without:
                out.append(f"the program takes {without!r} as given and has no law of it: give its value")
            else:
                out.append("")
        return out

    @torch.no_grad()
    def predict(self, queries: QueryBatch, index: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """One row for each query and each of the draws `index [J]`, `[Q, J, width]`, and log p(evidence | it)."""
        believed = self.believed
        assert believed is not None
        theta = {name: draws[index] for name, draws in believed.draws.items()}
        rows = self._rows_matter(queries)
        shape = (len(queries), len(index))
        values, log_weight = np.full((*shape, queries.schema.width), np.nan), np.zeros(shape)
        for v in queries.schema.variables[len(self.schema) :]:
            if v.name in theta:
                values[..., queries.schema.slices[v.name]] = theta[v.name].reshape(1, len(index), -1).cpu().numpy()
        step = max(1, _NUMBERS // (len(queries) * max(1, queries.schema.width)))
        if rows.any():
            for first in range(0, len(index), step):
                part = slice(first, first + step)
                self._simulate(queries, {n: t[part] for n, t in theta.items()}, values[:, part], log_weight[:, part])
        points = queries.kind == POINT
        softer = queries.only(~points)
        for q in np.flatnonzero((softer.kind != NOTHING).any(1)).tolist():
            log_weight[q] += log_likelihood(softer, q, values[q]) + log_ceiling(softer, q)
        return values, log_weight

    @torch.no_grad()
    def draw(self, draws: int) -> np.ndarray:
        if self.believed is None:
            raise UsageError("the fit has kept no draws of the parameters yet")
        nothing = QueryBatch.empty(self.schema, 1)
        nodes = self._nodes({}, self._blank(1))
        summed = [name for name in self._sampled(nodes, inside=False) if name not in self.believed.draws]
        if summed or self._tangled:
            raise UsageError(
                self._tangled or f"discrete site {summed[0]!r} was summed out, so there are no draws of it"
            )
        held = [v.name for v in self.schema if v.name not in nodes]
        index = torch.randint(len(self.believed), (draws,))
        if not held:
            return self.predict(replace(nothing, asked=~nothing.asked), index)[0][0]
        out = np.empty((draws, self.schema.width))
        which = torch.randint(len(self.reference), (draws,)).numpy()
        for row in np.unique(which).tolist():
            asked = replace(nothing, kind=nothing.kind.copy(), a=nothing.a.copy(), asked=~nothing.asked)
            for name in held:
                columns = self.schema.slices[name]
                asked.kind[:, columns] = POINT
                asked.a[:, columns] = self.reference.values[row, columns].double().cpu().numpy()
            out[which == row] = self.predict(asked, index[torch.as_tensor(which == row)])[0][0]
        return out

    def log_evidence(self, queries: QueryBatch) -> LogEvidence:
        """log of the mean likelihood over the draws: log p(evidence | rows fitted)."""
        for reason in self.unpredictable(queries):
            if reason:
                raise UsageError(reason)
        _, weight = self.predict(queries, self._thinned())
        value = np.logaddexp.reduce(weight, axis=1) - math.log(weight.shape[1])
        return LogEvidence(value, log_mean_error(weight), "estimate", self.law)

    def score_rows(self, batch: Batch) -> Tensor:
        """log p(known cells) by some of the draws, always the same ones, `[rows]`."""
        values = np.where(batch.observed.cpu().numpy(), batch.values.double().cpu().numpy(), np.nan)
        queries = QueryBatch.from_values(self.schema, values)
        with torch.random.fork_rng(devices=[batch.values.device.index or 0] if batch.values.is_cuda else []):
            torch.manual_seed(0)
            _, weight = self.predict(queries, self._thinned())
        return torch.as_tensor(np.logaddexp.reduce(weight, axis=1) - math.log(weight.shape[1]))

    def score_masks(self, batch: Batch, masks: Tensor) -> Tensor:
        """`score_rows` of rows seen through each of many masks, `[masks, rows]`."""
        return torch.stack([self.score_rows(replace(batch, observed=batch.observed & mask)) for mask in masks])

    # --- inside

    def _read_too_early(self) -> str:
        """What is wrong where a site depends on a variable whose own site comes after it."""
        assert self.believed is not None
        batch = self._blank(1)
        theta = {name: draws[0] for name, draws in self.believed.draws.items()}
        first = self._nodes(theta, batch)
        drawn = (*self._sampled(first, inside=True), *self._sampled(first, inside=False))
        fixed = theta | {name: first[name]["value"] for name in drawn}
        order = [name for name in first if name in self.schema]

        def told(batch: Batch, names: list[str]) -> list[Tensor]:
            nodes = self._nodes(fixed, batch)
            with written(self.precision, checked=False):
                return [sites.bare(nodes[n]["fn"]).log_prob(first[n]["value"]) for n in names]

        for j, name in enumerate(order):
            values, columns, v = batch.values.clone(), self.schema.slices[name], self.schema[name]
            low = v.support.lo if isinstance(v.support, Interval) else None
            values[:, columns] = values[:, columns] + 1 if low is None else 0.9 * values[:, columns] + 0.1 * low
            changed = told(replace(batch, values=values), order[:j])
            for other, before, after in zip(order, told(batch, order[:j]), changed, strict=False):
                if not torch.equal(before, after):
                    return f"the program draws {other!r} before {name!r}, which it depends on; put {name!r} first"
        return ""

    def _thinned(self) -> Tensor:
        assert self.believed is not None
        total = len(self.believed)
        return torch.linspace(0, total - 1, min(_SCORED, total)).long()

    def _rows_matter(self, queries: QueryBatch) -> np.ndarray:
        """`[Q]`, False where nothing but parameters is asked and told."""
        columns = np.zeros(queries.schema.width, dtype=bool)
        for v in queries.schema:
            columns[queries.schema.slices[v.name]] = v.role != "parameter"
        nodes = self._nodes({}, self._blank(1))
        for v in self.schema:  # a covariate alone tells nothing
            columns[queries.schema.slices[v.name]] &= v.name in nodes
        return ((queries.asked | (queries.kind != NOTHING)) & columns).any(1)

    def _simulate(
        self, queries: QueryBatch, theta: Mapping[str, Tensor], values: np.ndarray, log_weight: np.ndarray
    ) -> None:
        """Fills the columns of rows and latents, and adds what the points weigh; `[Q, J]` in front."""
        told, schema = queries.part(self.schema), self.schema
        points, device = told.kind == POINT, self.reference.values.device
        known = {v.name: points[:, schema.slices[v.name]].reshape(len(told), *v.shape) for v in schema}
        start, _ = filled(told)
        base = torch.as_tensor(start, dtype=torch.float64, device=device)
        held = roles.Held.of(queries, schema, 1, device)
        blank = self._nodes({}, self._blank(1))
        inside, ordered = self._sampled(blank, inside=True), [name for name in blank if name in schema]

        def one(theta: dict[str, Tensor]) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
            at, log, latents, nodes = base, base.new_zeros(len(base)), {}, None
            for name in ordered:
                nodes = nodes or self._nodes(theta | latents, self._batch(at, points), held)
                latents = latents or {n: nodes[n]["value"] for n in inside}
                law, here, shape = sites.bare(nodes[name]["fn"]), known[name], self.schema[name].shape
                columns = schema.slices[name]
                x = at[:, columns].reshape(len(base), *shape)
                each, given = law.log_prob(x).double(), torch.as_tensor(here, device=device)
                if each.ndim < given.ndim:
                    if (here.reshape(len(here), -1).any(1) != here.reshape(len(here), -1).all(1)).any():
                        raise UsageError(f"variable {name!r} is drawn as a whole; give all of it or nothing")
                    given = given.reshape(len(base), -1).all(1)
                cell = self.schema[name].cell
                if cell is not None and not isinstance(law, Encoded):
                    each = each + math.log(cell.delta)
                log = log + torch.where(given, each, 0.0).reshape(len(base), -1).sum(1)
                if not here.all():
                    drawn = law.sample().to(x.dtype).reshape(x.shape)
                    x = torch.where(torch.as_tensor(here, device=device), x, drawn).reshape(len(base), -1)
                    at, nodes = torch.cat([at[:, : columns.start], x, at[:, columns.stop :]], 1), None
            if inside and not latents:
                nodes = self._nodes(theta, self._batch(at, points), held)
                latents = {n: nodes[n]["value"] for n in inside}
            if held.given:
                nodes = nodes or self._nodes(theta | latents, self._batch(at, points), held)
                for name, (fixed, _) in held.given.items():
                    each = nodes[name]["fn"].log_prob(latents[name]).double().reshape(len(base), -1).sum(1)
                    log = log + torch.where(fixed, each, 0.0)
            return at, log, latents

        with written(self.precision, checked=False):
            at, log, latents = _each(one, dict(theta))
        width = schema.width
        values[..., :width] = at.transpose(0, 1).cpu().numpy()
        log_weight += log.T.cpu().numpy()
        for j, v in enumerate(schema.columns):
            if v.cell is not None:
                values[..., j] = v.cell.snap(values[..., j])
        for v in queries.schema.variables[len(schema) :]:
            if v.name in latents:
                z = latents[v.name].double().transpose(0, 1).reshape(*log_weight.shape, -1)
                values[..., queries.schema.slices[v.name]] = z.cpu().numpy()

    def _nodes(self, values: dict[str, Tensor], batch: Batch, held: roles.Held | None = None) -> dict[str, Any]:
        """The sites of the program on a batch, parameters and latents as given."""
        program = poutine.condition(self.model, data=values) if values else self.model
        with written(self.precision, checked=False), held or roles.Held({}):
            return dict(poutine.trace(program).get_trace(batch).nodes)

    def _sampled(self, nodes: dict[str, Any], *, inside: bool) -> list[str]:
        """Names of the sites that are drawn, inside the plate or outside it."""
        return [
            name
            for name, site in nodes.items()
            if site["type"] == "sample"
            and not site["is_observed"]
            and not site_is_subsample(site)
            and any(frame.name == PLATE for frame in site["cond_indep_stack"]) == inside
        ]

    def _blank(self, rows: int) -> Batch:
        values, known = filled(QueryBatch.empty(self.schema, rows))
        return self._batch(torch.as_tensor(values, dtype=self.precision), known)

    def _batch(self, values: Tensor, known: np.ndarray) -> Batch:
        n = len(values)
        observed = torch.as_tensor(known, device=values.device)
        return Batch(self.schema, values, observed, torch.arange(n, device=values.device), n)


def _each(
    one: Callable[[dict[str, Tensor]], tuple[Tensor, Tensor, dict[str, Tensor]]], theta: dict[str, Tensor]
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """What `one` makes of each draw: of all at once, or one after the other where the program looks at its values."""
    try:
        with _Fresh():
            return torch.func.vmap(one, randomness="different")(theta)
    except RuntimeError:
        found = [one({name: draws[j] for name, draws in theta.items()}) for j in range(len(next(iter(theta.values()))))]
    at, log, latents = zip(*found, strict=True)
    return torch.stack(at), torch.stack(log), {n: torch.stack([z[n] for z in latents]) for n in latents[0]}


class _Fresh(TorchFunctionMode):
    """Random numbers that laws would write into an empty tensor are made anew, different for each draw of a vmap."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        numbers = args[1:]
        if func is torch.Tensor.normal_:
            loc, scale = _two(numbers)
            return loc + scale * torch.randn_like(args[0])
        if func is torch.Tensor.exponential_:
            return -torch.log1p(-torch.rand_like(args[0])) / (numbers[0] if numbers else 1.0)
        if func is torch.Tensor.cauchy_:
            loc, scale = _two(numbers)
            return loc + scale * torch.tan(math.pi * (torch.rand_like(args[0]) - 0.5))
        return func(*args, **(kwargs or {}))


def _two(numbers: tuple[float, ...]) -> tuple[float, float]:
    """Location and scale, as far as they were given."""
    return (numbers + (0.0, 1.0)[len(numbers) :])[0], (numbers + (0.0, 1.0)[len(numbers) :])[1]
