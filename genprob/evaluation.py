"""Evaluation: one joint by several metrics, as one labelled tree."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from genprob import plugins
from genprob.data.dims import sample_dimension
from genprob.data.readers import read
from genprob.errors import PluginError, UsageError
from genprob.joint import Joint
from genprob.metrics.score import Result, Score, by_row
from genprob.options import REQUIRED, Option, convert, options
from genprob.plugins import near
from genprob.request import whole
from genprob.results.provenance import provenance
from genprob.results.vocabulary import schema_text

DEFAULT = ("log_likelihood", "masked", "calibration")
"""The metrics of an evaluation that names none: quick, and without training rows."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What one metric found, with the options it was given and the seconds it took."""

    metric: str
    result: Result
    settings: dict[str, Any]
    seconds: float


def evaluate(
    joint: Joint,
    ds: Any,
    metrics: str | Iterable[str] | Mapping[str, Mapping[str, Any]] | None = None,
    seed: int = 0,
    **settings: Any,
) -> xr.DataTree:
    """Figures of merit of a joint on rows that it was not fitted to.

    Arguments:
        joint: what is evaluated.
        ds: the rows, as `genprob.read` takes them; holes are allowed.
        metrics: names, or `{name: options}`; by default `log_likelihood`, `masked` and `calibration`.
        seed: the same call with the same seed gives the same numbers.
        settings: options of the metrics; `draws=200` for all that have it, `**{"masked.draws": 200}` for one.

    Returns a tree with one group per metric. A score `s` is held as `s`, `s_se` (standard error) and `s_n`, with the
    attributes `units`, `better`, `ideal`, `kind` and `measure`; where it is a mean over rows, `s_rows` holds each
    row's. Raises `UsageError` for unknown metrics and options and for what the joint cannot do (metrics of the
    default set that it cannot do are left out, with a note), `DataError` for unfit data.

    >>> import genprob
    >>> rows = {"x": [0.5, 1.25, 0.75, 1.5], "g": ["a", "b", "a", "b"]}
    >>> found = evaluate(genprob.fit(rows, components=1), rows, metrics="masked", draws=20)
    >>> found["masked"]["crps"].attrs["units"], found["masked"]["crps_by_share"].dims
    ('sd of the data', ('share',))
    """
    started = time.monotonic()
    found, notes, rows = measured(joint, ds, metrics, seed, settings)
    tree = xr.DataTree.from_dict({f"/{m.metric}": dataset(m) for m in found})
    tree.attrs = {
        "seed": int(seed),
        "rows": rows,
        "model": type(joint.model).__name__,
        "notes": "; ".join(notes),
        "seconds": time.monotonic() - started,
        "schema": schema_text(joint.schema),
        "provenance": json.dumps(provenance(seed=seed, run=_run(joint)), ensure_ascii=False, default=str),
    }
    return tree


def measured(
    joint: Joint, data: Any, metrics: Any, seed: int, settings: Mapping[str, Any]
) -> tuple[list[Measured], list[str], int]:
    """What each metric found, notes, and the number of rows."""
    chosen = _chosen(metrics, whole("seed", seed, 0), settings)
    ds = read(data, schema=joint.schema, allow_missing=True)
    found, notes = [], []
    for name, (metric, given) in chosen.items():
        started = time.monotonic()
        try:
            result = metric(joint, ds)
        except UsageError as error:
            if metrics is not None:
                raise
            notes.append(f"{name} is left out: {error}")
            continue
        if not isinstance(result, Result):
            raise PluginError(f"metric {name!r} returned {type(result).__name__}, not a genprob.metrics.score.Result")
        found.append(Measured(name, result, given, time.monotonic() - started))
    if not found:
        raise UsageError("; ".join(notes))
    return found, notes, int(ds.sizes[sample_dimension(ds, joint.schema.sample_dim)])


def _run(joint: Joint) -> str:
    return str(joint.run.path) if joint.run is not None else ""


def _chosen(
    metrics: Any, seed: int, settings: Mapping[str, Any]
) -> dict[str, tuple[Callable[[Joint, xr.Dataset], Any], dict[str, Any]]]:
    """Name -> the metric, ready to be called, and the options it was given."""
    asked: dict[str, dict[str, Any]]
    if metrics is None:
        asked = {name: {} for name in DEFAULT}
    elif isinstance(metrics, str):
        asked = {metrics: {}}
    elif isinstance(metrics, Mapping):
        asked = {str(name): dict(own or {}) for name, own in metrics.items()}
    else:
        asked = {str(name): {} for name in metrics}
    if not asked:
        raise UsageError("metrics=[]: name at least one metric")
    factories = {name: plugins.resolve(plugins.find("metric", name).factory) for name in asked}
    known = {name: {o.name: o for o in options(factory)} for name, factory in factories.items()}
    for key, value in settings.items():
        for name, option in _meant(key, known):
            asked[name].setdefault(option, value)
    out = {}
    for name, factory in factories.items():
        given = {key: option.default for key, option in known[name].items() if option.default is not REQUIRED}
        given |= {"seed": seed} if "seed" in given else {}
        given |= {key: _value(name, known[name], key, value) for key, value in asked[name].items()}
        try:
            out[name] = factory(**given), given
        except UsageError as error:
            raise UsageError(f"metric {name}: {error}") from None
    return out


def _meant(key: str, known: Mapping[str, Mapping[str, Option]]) -> list[tuple[str, str]]:
    """The metrics and their option that a setting such as `draws` or `masked.draws` is for."""
    owner, dot, option = key.rpartition(".")
    if dot:
        if owner not in known:
            raise UsageError(f"setting {key!r}: metric {owner!r} is not evaluated; {near(owner, known)}")
        if option not in known[owner]:
            raise UsageError(f"metric {owner!r} has no option {option!r}; {near(option, known[owner])}")
        return [(owner, option)]
    found = [(name, key) for name, own in known.items() if key in own]
    if not found:
        every = sorted({option for own in known.values() for option in own})
        raise UsageError(f"no metric that is evaluated has an option {key!r}; {near(key, every)}")
    return found


def _value(name: str, known: Mapping[str, Option], key: str, value: Any) -> Any:
    """Texts and numbers as the option's annotation reads them; data and sequences as they are."""
    if key not in known:
        raise UsageError(f"metric {name!r} has no option {key!r}; {near(key, known)}")
    if isinstance(value, (bool, str, int, float, np.number)):
        return convert(known[key], str(value))
    return value


def dataset(measured: Measured) -> xr.Dataset:
    """One metric's scores as a labelled data set."""
    result = measured.result
    variables: dict[str, Any] = {}
    for score in result.scores:
        variables[score.name] = (score.dims, np.asarray(score.value, dtype=np.float64), attributes(score))
        variables[f"{score.name}_se"] = (score.dims, np.asarray(score.error, dtype=np.float64), {"units": score.units})
        variables[f"{score.name}_n"] = (score.dims, np.broadcast_to(score.n, np.shape(score.value)).astype(np.int64))
        if score.cells is not None:
            variables[f"{score.name}_rows"] = (("row",), per_row(score), {"units": score.units})
    variables |= {name: (dims, np.asarray(values)) for name, (dims, values) in result.details.items()}
    used = {dim for dims, *_ in variables.values() for dim in dims}
    coords: dict[str, Any] = {dim: labels(names) for dim, names in result.coords.items() if dim in used}
    if "row" in used and result.rows is not None:
        coords["row"] = result.rows
    attrs = {"metric": measured.metric, "seconds": measured.seconds, **result.attrs}
    settings = json.dumps(measured.settings, ensure_ascii=False, default=lambda value: type(value).__name__)
    return xr.Dataset(variables, coords, attrs | {"settings": settings})


def attributes(score: Score) -> dict[str, Any]:
    """What a score is to be read with."""
    about: dict[str, Any] = {"units": score.units, "better": score.aim, "kind": score.kind}
    about |= {"measure": score.measure} if score.measure else {}
    return about | ({"ideal": score.ideal} if np.isfinite(score.ideal) else {})


def per_row(score: Score) -> np.ndarray:
    """The mean of each row's cells, NaN where it has none."""
    cells = by_row(np.asarray(score.cells, dtype=np.float64))
    known = ~np.isnan(cells)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known.any(1), np.nansum(cells, 1) / known.sum(1), np.nan)


def labels(names: Sequence[Any]) -> np.ndarray:
    """Labels along a dimension, as an array that a file can hold."""
    array = np.asarray(list(names))
    return array.astype(str) if array.dtype.kind in "OU" else array


def summary(tree: xr.DataTree) -> list[dict[str, Any]]:
    """The scores of an evaluation, one row per number.

    Keys: metric, score, where, value, se, n, units, better, kind, measure. `where` is `{dim: label}`, empty for a score
    of the whole.
    """
    out = []
    for row, ds, at in numbers(tree):
        name = row["score"]
        names = ds[name].dims
        row["where"] = {str(dim): ds[dim].values[i].item() for dim, i in zip(names, at, strict=True)}
        row |= {"se": float(ds[f"{name}_se"].values[at]), "n": int(ds[f"{name}_n"].values[at])}
        out.append(row)
    return out


def numbers(tree: xr.DataTree) -> Iterator[tuple[dict[str, Any], xr.Dataset, tuple[int, ...]]]:
    """Every number of every score: a row that says metric, score, value and how to read it, its group, its place."""
    for metric, node in tree.children.items():
        ds = node.to_dataset()
        for name, values in ds.data_vars.items():
            if "better" not in values.attrs:
                continue
            about = {key: values.attrs.get(key, "") for key in ("units", "better", "kind", "measure")}
            for at in np.ndindex(values.shape):
                yield {"metric": metric, "score": str(name), "value": float(values.values[at])} | about, ds, at
