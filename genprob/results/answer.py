"""An answer as a labelled tree: groups in ArviZ's names, flat attributes that any HDF5 reader understands."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from genprob.data import dates
from genprob.data.schema import Schema, Variable
from genprob.data.support import Categorical
from genprob.data.table import decode
from genprob.results.record import QUANTILES, Answer, Marginal
from genprob.results.vocabulary import plain_names, schema_text
from genprob.results.worst import NUMBERS, TEXTS, Worst

if TYPE_CHECKING:
    import xarray as xr

_OWN_DIMS = {"query", "chain", "draw", "quantile"}


def answer_tree(answer: Answer) -> xr.DataTree:
    """The labelled form of an answer.

    Groups: `posterior` (targets, dims `[query], chain, draw, *event`, labels decoded), `marginals` (per target
    `<name>_mean`, `_sd`, `_mcse`, `_quantile` along `quantile`; `_pmf`, `_pmf_mcse` along `level_<name>`),
    `sample_stats` (one entry per query, what a strategy tells of itself among them), `query` (evidence and targets as
    text), `observed_data` (given points) and `prior` (draws of the joint) where there are any. A single query has no
    query dimension. The attributes of the root are the diagnostics of the query, the worst ones of a batch.
    """
    import xarray as xr

    groups = {
        "posterior": _draws(answer, answer.values, query=not answer.single),
        "marginals": _marginals(answer),
        "sample_stats": _sample_stats(answer),
        "query": _query(answer),
    }
    if answer.observed is not None:
        observed = _observed(answer, answer.observed)
        if observed.data_vars:
            groups["observed_data"] = observed
    if answer.prior is not None:
        groups["prior"] = _draws(answer, answer.prior[None], query=False)
    tree = xr.DataTree.from_dict({f"/{name}": dataset for name, dataset in groups.items()})
    tree.attrs = _attrs(answer)
    return tree


def _draws(answer: Answer, values: np.ndarray, query: bool) -> xr.Dataset:
    """`[Q, chain, draw, width]` as one labelled variable per target; without `query` only the first Q is there."""
    import xarray as xr

    schema, names = answer.schema, plain_names(answer.schema)
    lead = ("query", "chain", "draw") if query else ("chain", "draw")
    values = values if query else values[0]
    data: dict[str, Any] = {}
    for name in answer.targets:
        variable = schema[name]
        flat = values[..., schema.slices[name]].reshape(*values.shape[:-1], *variable.shape)
        data[names[name]] = ((*lead, *event_dims(schema, variable)), decode(schema, name, flat), _about(variable))
    coords = {dim: np.arange(size) for dim, size in zip(lead, values.shape, strict=False)}
    return xr.Dataset(data, coords | _event_coords(schema, answer.targets))


def event_dims(schema: Schema, variable: Variable) -> tuple[str, ...]:
    """The names of its event dimensions in a result: its own, unless another dimension or variable has that name."""
    taken = _OWN_DIMS | {v.name for v in schema}
    return tuple(f"{variable.name}_{dim}".replace("/", "_") if dim in taken else dim for dim in variable.dims)


def _event_coords(schema: Schema, names: Iterable[str]) -> dict[str, np.ndarray]:
    """The labels of the named variables' event dimensions, by the names that these have in a result."""
    found = {}
    for variable in (schema[name] for name in names):
        for new, old in zip(event_dims(schema, variable), variable.dims, strict=True):
            if old in schema.labels:
                found[new] = schema.labels[old]
    return found


def _marginals(answer: Answer) -> xr.Dataset:
    import xarray as xr

    schema, names = answer.schema, plain_names(answer.schema)
    data: dict[str, Any] = {}
    coords: dict[str, Any] = dict(_event_coords(schema, answer.marginals))

    def put(name: str, dims: tuple[str, ...], values: np.ndarray, attrs: dict[str, Any]) -> None:
        while name in data:
            name += "_"
        data[name] = (dims, values[0], attrs) if answer.single else (("query", *dims), values, attrs)

    for target, marginal in answer.marginals.items():
        variable, name = schema[target], names[target]
        dims = event_dims(schema, variable)
        about = {"rao_blackwell": int(marginal.rao_blackwell)}
        if not isinstance(variable.support, Categorical):
            coords["quantile"] = np.array(QUANTILES)
            place = _Place(variable)
            put(f"{name}_mean", dims, place.value(marginal.mean), about | place.units)
            put(f"{name}_sd", dims, marginal.sd, about | place.scale)
            put(f"{name}_mcse", dims, marginal.mcse, about | place.scale)
            put(f"{name}_quantile", ("quantile", *dims), place.value(marginal.quantiles), about | place.units)
        if marginal.pmf is not None:
            level = f"level_{name}"
            coords[level] = _levels(variable, marginal)
            put(f"{name}_pmf", (*dims, level), marginal.pmf, about)
            if marginal.pmf_mcse is not None:
                put(f"{name}_pmf_mcse", (*dims, level), marginal.pmf_mcse, about)
    if not answer.single:
        coords["query"] = np.arange(answer.queries)
    return xr.Dataset(data, coords)


class _Place:
    """How means and quantiles of a variable (values) and its spreads (differences of values) are written."""

    def __init__(self, variable: Variable) -> None:
        self._unit = variable.unit
        self._date = dates.is_date(variable)
        self.units = {} if variable.unit is None or self._date else {"units": variable.unit}
        self.scale = {"units": str(variable.unit).split(" since ")[0]} if self._date else self.units

    def value(self, numbers: np.ndarray) -> np.ndarray:
        return dates.to_dates(numbers, self._unit) if self._date and self._unit else numbers


def _levels(variable: Variable, marginal: Marginal) -> np.ndarray:
    assert marginal.pmf is not None
    if isinstance(variable.support, Categorical):
        return np.asarray(variable.support.levels)
    return np.arange(marginal.pmf.shape[-1])


def _sample_stats(answer: Answer) -> xr.Dataset:
    import xarray as xr

    data: dict[str, Any] = {}
    for name in NUMBERS:
        kind = np.int64 if name in ("tries", "reliable") else np.float64
        data[name] = np.asarray(getattr(answer, name)).astype(kind)
    for name in TEXTS:
        data[name] = np.asarray(list(getattr(answer, name)), dtype=str)
    data |= {name: np.asarray(values, dtype=np.float64) for name, values in answer.stats.items() if name not in data}
    return _along_query(answer, xr.Dataset({name: ("query", values) for name, values in data.items()}))


def _query(answer: Answer) -> xr.Dataset:
    import xarray as xr

    data: dict[str, Any] = {}
    if answer.given is not None:
        texts = [json.dumps(dict(given), ensure_ascii=False) for given in answer.given]
        data["evidence"] = ("query", np.asarray(texts, dtype=str))
    targets = json.dumps(list(answer.targets), ensure_ascii=False)
    return _along_query(answer, xr.Dataset(data, attrs={"targets": targets}))


def _observed(answer: Answer, observed: np.ndarray) -> xr.Dataset:
    import xarray as xr

    schema, names = answer.schema, plain_names(answer.schema)
    data: dict[str, Any] = {}
    for variable in schema:
        flat = observed[..., schema.slices[variable.name]].reshape(-1, *variable.shape)
        # In a batch every variable is there, integers with room for NaN: all parts of a long answer look alike.
        if answer.single and np.isnan(flat).all():
            continue
        values = decode(schema, variable.name, flat)
        if not answer.single and values.dtype.kind == "i":
            values = values.astype(np.float64)
        dims = ("query", *event_dims(schema, variable))
        data[names[variable.name]] = (dims, values, _about(variable))
    shown = [v.name for v in schema if names[v.name] in data]
    return _along_query(answer, xr.Dataset(data, _event_coords(schema, shown)))


def _along_query(answer: Answer, dataset: xr.Dataset) -> xr.Dataset:
    if answer.single:
        return dataset.isel(query=0) if "query" in dataset.dims else dataset
    return dataset.assign_coords(query=np.arange(answer.queries))


def _about(variable: Variable) -> dict[str, Any]:
    """What a reader of the result wants to know of a variable; `units` is CF's word."""
    assert variable.measure is not None
    attrs: dict[str, Any] = {"support": variable.support.kind, "measure": variable.measure.text()}
    if isinstance(variable.support, Categorical):
        attrs["levels"] = list(variable.support.levels)
    if variable.unit is not None and not dates.is_date(variable):  # dates are written as dates
        attrs["units"] = variable.unit
    if "/" in variable.name:
        attrs["long_name"] = variable.name
    return attrs


def _attrs(answer: Answer) -> dict[str, Any]:
    worst = Worst()
    worst.add({name: getattr(answer, name) for name in (*NUMBERS, *TEXTS)})
    return worst.attrs() | {
        "seconds": float(answer.seconds),
        "seed": int(answer.seed),
        "draws": int(np.prod(answer.values.shape[1:3])),
        "queries": int(answer.queries),
        "reliable_queries": worst.reliable,
        "targets": json.dumps(list(answer.targets), ensure_ascii=False),
        "schema": schema_text(answer.schema),
        "provenance": _json(answer.provenance),
    }


def _json(provenance: Mapping[str, Any]) -> str:
    return json.dumps(dict(provenance), ensure_ascii=False, default=str)
