"""The unknowns of a Pyro program given all rows: one position without bounds for each chain, and its log-density."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pyro
import torch
from pyro import poutine
from pyro.poutine import Trace
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from genprob.data.batch import Batch
from genprob.engine import sites
from genprob.engine.kernels.density import LogDensity, ValueAndGradient, differentiated
from genprob.engine.sites import Site
from genprob.errors import DataError, UsageError
from genprob.model import Model, namesake

PLATE = "rows"
"""The plate that `Batch.plate` opens."""
_MOST = 20_000
"""Numbers of a position."""
_STATES = 4096
"""Joint states of the discrete sites of a row, and of those outside the plate."""
_SPREAD = 2.0
"""Chains start anywhere between minus and plus that in every coordinate (as Stan's do)."""
_STARTS = 100
"""Starts that are tried for a chain."""
_TOGETHER = 4_000_000
"""Rows times positions that are looked at at once."""


class Unknowns:
    """What a program leaves unknown when its data are all there: sites outside the plate, and latents of each row.

    Continuous sites are numbers without bounds (`biject_to`, with the log-Jacobian in the density). Discrete ones are
    summed out: those of a row over their joint states row by row, those outside the plate over theirs. Chains are
    vectorised over the program, which is recorded once as a graph where it allows that.

    Attributes:
        roles: name -> `parameter` outside the plate, `latent` inside it; deterministic sites among them.
        dims: name -> names of the dims that its event begins with, for those inside the plate.

    Raises `UsageError` for a program without unknowns or with too many, `DataError` for holes that it would read.
    """

    def __init__(self, model: Model, batch: Batch) -> None:
        self.model, self.batch, self._holes = model, batch, Holes(batch)
        device = batch.values.device
        with torch.random.fork_rng(devices=[device.index or 0] if device.type == "cuda" else []):
            torch.manual_seed(0)  # a resumed fit looks at the program once more than an unbroken one
            trace = self._trace({}, batch)
        self.roles: dict[str, str] = {}
        self.dims: dict[str, tuple[str, ...]] = {}
        self._sites: list[Site] = []
        discrete: dict[bool, dict[str, tuple[Any, Tensor]]] = {False: {}, True: {}}
        for name, site in _sampled(trace):
            value, inside = site["value"], _inside(site)
            if name in batch.schema:
                raise namesake(model, name)
            if site["fn"].support.is_discrete:
                discrete[inside][name] = site["fn"], value if inside else value[None]
                continue
            self._say(name, inside)
            self._sites.append(Site.of(name, site["fn"], value[None]))
        if not any(role == "parameter" for role in self.roles.values()):
            raise UsageError(
                f"{type(model).__name__} has no continuous unknown outside batch.plate() to sample; fit its parameters "
                "by elbo, and ask for latents by a query"
            )
        for name, site in _derived(trace):
            self._say(name, _inside(site))
        self._outer, self._inner = self._listed(discrete[False]), self._listed(discrete[True])
        self.width = sum(site.width for site in self._sites)
        if self.width > _MOST:
            raise UsageError(
                f"{type(model).__name__} has {self.width} unknown numbers for {len(batch)} rows, and chains take "
                f"{_MOST}; give it fewer rows, or sum its latents out"
            )
        self._graph: tuple[torch.Size, Callable[[Tensor], tuple[Tensor, Tensor]]] | None = None
        self._apart = False
        self._check_holes()

    # --- chains

    def positions(self, chains: int) -> Tensor:
        """Starting points `[chains, width]` of finite density, from torch's present random numbers."""
        like = self.batch.values
        out = torch.zeros(chains, self.width, dtype=self.model.precision, device=like.device)
        left = torch.ones(chains, dtype=torch.bool, device=like.device)
        for _ in range(_STARTS):
            tried = _SPREAD * (2 * torch.rand_like(out) - 1)
            out = torch.where(left[:, None], tried, out)
            left = left & ~torch.isfinite(self.log_density(out))
            if not bool(left.any()):
                return out
        raise UsageError(
            f"{type(self.model).__name__}: no start of finite log-density was found in {_STARTS} tries; is some row "
            "impossible under every value of the unknowns?"
        )

    def log_density(self, positions: Tensor) -> Tensor:
        """log p(unknowns, rows) of `[chains, width]` in the coordinates of the chains, `[chains]`."""
        if not self._apart:
            try:
                return torch.func.vmap(self._one)(positions)
            except RuntimeError:
                self._apart = True  # a program that looks at its values: one chain after the other
        return torch.stack([self._one(position) for position in positions])

    def value_and_gradient(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """The log-density and its gradient, by the recorded graph."""
        if self._graph is None or self._graph[0] != positions.shape:
            self._graph = positions.shape, _recorded(self._one, self.log_density, positions)
        return self._graph[1](positions)

    def log_densities(self, positions: Tensor) -> Tensor:
        """The log-density of many positions `[n, width]`."""
        return torch.cat([self.log_density(part) for part in self._parts(positions)])

    def named(self, positions: Tensor) -> dict[str, Tensor]:
        """The unknowns and the deterministic sites at `[n, width]`, each `[n, *its own event]`."""
        parts = [self._named(part) for part in self._parts(positions)]
        return {name: torch.cat([part[name] for part in parts]) for name in self.roles}

    # --- inside

    def _named(self, positions: Tensor) -> dict[str, Tensor]:
        def one(position: Tensor) -> dict[str, Tensor]:
            values, _ = self._values(position)
            derived = [name for name in self.roles if name not in values]
            if not derived:
                return values
            states = {name: z[0] for name, z in self._states(self._outer).items()}
            states |= {name: self._spread(z[0]) for name, z in self._states(self._inner).items()}
            nodes: dict[str, Any] = dict(self._trace(values | states, self.batch).nodes)
            return values | {name: nodes[name]["value"] for name in derived}

        if not self._apart:
            return torch.func.vmap(one)(positions)
        found = [one(position) for position in positions]
        return {name: torch.stack([values[name] for values in found]) for name in self.roles}

    def _parts(self, positions: Tensor) -> tuple[Tensor, ...]:
        return positions.split(max(1, _TOGETHER // max(1, len(self.batch))))

    def _values(self, position: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Each continuous site's value at `[width]` and the sum of the log-Jacobians."""
        out, slope = {}, position.new_zeros(())
        for site, piece in zip(self._sites, position.split([site.width for site in self._sites]), strict=True):
            value, more = site.decode(piece[None])
            out[site.name], slope = value[0], slope + more[0]
        return out, slope

    def _one(self, position: Tensor) -> Tensor:
        """The log-density of one chain's position `[width]`, discrete sites summed out."""
        values, slope = self._values(position)

        def given(outer: dict[str, Tensor]) -> Tensor:
            def terms(inner: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
                spread = {name: self._spread(z) for name, z in inner.items()}
                return self._terms(values | outer | spread, self.batch)

            if not self._inner:
                common, rows = terms({})
                return common + rows.sum()
            common, rows = torch.func.vmap(terms)(self._states(self._inner))
            return common[0] + torch.logsumexp(rows, 0).sum()

        if not self._outer:
            return given({}) + slope
        return torch.logsumexp(torch.func.vmap(given)(self._states(self._outer)), 0) + slope

    def _terms(self, values: dict[str, Tensor], batch: Batch) -> tuple[Tensor, Tensor]:
        """log p of the sites outside the plate, and of those of each row, `[rows]`."""
        trace = self._trace(values, batch)
        with written(self.model.precision, checked=False):
            trace.compute_log_prob()
        common, rows = batch.values.new_zeros(()), batch.values.new_zeros(len(batch))
        nodes: dict[str, Any] = dict(trace.nodes)
        for site in nodes.values():
            if site["type"] != "sample" or site_is_subsample(site):
                continue
            frame = next((frame for frame in site["cond_indep_stack"] if frame.name == PLATE), None)
            if frame is None:
                common = common + site["log_prob"].sum()
                continue
            each = site["log_prob"]
            rows = rows + each.movedim(frame.dim, 0).reshape(len(batch), -1).sum(1)
        return common, rows

    def _trace(self, values: dict[str, Tensor], batch: Batch) -> Trace:
        program = poutine.condition(self.model.model, data=values) if values else self.model.model
        with self._holes, written(self.model.precision, checked=not values):
            return poutine.trace(program).get_trace(batch)

    def _spread(self, state: Tensor) -> Tensor:
        """One row's state for every row."""
        return state.expand(len(self.batch), *state.shape)

    def _listed(self, laws: dict[str, tuple[Any, Tensor]]) -> dict[str, tuple[Tensor, torch.Size]]:
        lists = sites.listed(laws)
        if lists is None or sites.states(lists) > _STATES:
            endless = next((name for name in laws if sites.listed({name: laws[name]}) is None), next(iter(laws)))
            why = "takes endlessly many values" if lists is None else f"has too many states ({sites.states(lists)})"
            raise UsageError(f"{type(self.model).__name__}: discrete site {endless!r} {why}, so it can't be summed out")
        return lists

    def _states(self, lists: dict[str, tuple[Tensor, torch.Size]]) -> dict[str, Tensor]:
        return sites.product(lists, sites.states(lists)) if lists else {}

    def _say(self, name: str, inside: bool) -> None:
        self.roles[name] = "latent" if inside else "parameter"
        if inside:
            self.dims[name] = (self.batch.schema.sample_dim,)

    def _check_holes(self) -> None:
        """`DataError` where the program reads cells that are missing."""
        batch = self.batch
        if bool(batch.observed.all()):
            return
        position = torch.linspace(0.3, 0.7, self.width, dtype=self.model.precision, device=batch.values.device)[None]
        plain = self.log_density(position)
        for variable in batch.schema:
            columns = batch.schema.slices[variable.name]
            holes = ~batch.observed[:, columns]
            if not bool(holes.any()):
                continue
            seen = batch.values[:, columns][~holes]
            other = seen.max() + 1 if variable.cardinality is None else (batch.values[:, columns] == 0).to(seen.dtype)
            values = batch.values.clone()
            values[:, columns] = torch.where(holes, other, values[:, columns])
            self.batch = replace(batch, values=values)
            changed = self.log_density(position)
            self.batch = batch
            if not torch.equal(changed, plain):
                raise DataError(
                    f"variable {variable.name!r}: missing in {int(holes.any(1).sum())} rows, and the program reads it "
                    "there (as what another variable depends on?); leave these rows out"
                )


class Holes(Messenger):
    """Leaves missing cells out of the likelihood of sites that are named like their variable."""

    def __init__(self, batch: Batch) -> None:
        super().__init__()
        self.known = {v.name: batch.mask(v.name) for v in batch.schema if not bool(batch.mask(v.name).all())}
        cells = {name: known.reshape(len(batch), -1) for name, known in self.known.items()}
        self.whole = {name: each.all(1) for name, each in cells.items()}
        self.parted = {name for name, each in cells.items() if bool((each.any(1) != each.all(1)).any())}

    def _pyro_sample(self, msg: Any) -> None:
        name = msg["name"]
        if name not in self.known or not msg["is_observed"] or sites.masked(msg["fn"]):
            return
        if msg["fn"].event_dim and name in self.parted:
            raise DataError(
                f"variable {name!r}: known in part in some rows, and the program draws it as a whole; mask its law "
                "before .to_event, or leave these rows out"
            )
        known = self.whole[name] if msg["fn"].event_dim else self.known[name]
        msg["mask"] = known if msg["mask"] is None else known & msg["mask"]


@contextmanager
def written(dtype: torch.dtype, *, checked: bool) -> Iterator[None]:
    """Within, numbers that a program writes down are of this dtype; laws are `checked` for values they cannot have."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with pyro.validation_enabled(checked and torch.distributions.Distribution._validate_args):
            yield
    finally:
        torch.set_default_dtype(before)


def _recorded(one: Callable[[Tensor], Tensor], density: LogDensity, positions: Tensor) -> ValueAndGradient:
    """Value and gradient as one graph of tensor operations, at a third of the program's price; else by autograd."""
    both = torch.func.vmap(torch.func.grad_and_value(lambda position: one(position)))
    try:
        with torch.enable_grad():
            graph = make_fx(lambda at: torch.func.functionalize(both)(at))(positions.detach())
        graph.graph.eliminate_dead_code()
        graph.recompile()
    except Exception:  # whatever a program does that cannot be recorded
        return differentiated(density)

    def run(at: Tensor) -> tuple[Tensor, Tensor]:
        gradient, value = graph(at)
        return value, gradient

    return run


def _sampled(trace: Trace) -> Iterator[tuple[str, Any]]:
    """The sites that the program draws."""
    nodes: dict[str, Any] = dict(trace.nodes)
    for name, site in nodes.items():
        if site["type"] == "sample" and not site["is_observed"] and not site_is_subsample(site):
            yield name, site


def _derived(trace: Trace) -> Iterator[tuple[str, Any]]:
    """The deterministic sites, but for what `Model.emit` keeps."""
    nodes: dict[str, Any] = dict(trace.nodes)
    for name, site in nodes.items():
        if site["type"] == "sample" and site["infer"].get("_deterministic") and not name.startswith("_"):
            yield name, site


def _inside(site: Any) -> bool:
    return any(frame.name == PLATE for frame in site["cond_indep_stack"])
