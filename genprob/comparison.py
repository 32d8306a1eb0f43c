"""Comparison: several joints on the same rows, their differences with intervals."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from genprob.errors import UsageError
from genprob.evaluation import Measured, attributes, labels, measured, numbers
from genprob.joint import Joint
from genprob.metrics.bootstrap import paired_bootstrap
from genprob.metrics.figure import best, draw_comparison
from genprob.metrics.score import Score, by_row
from genprob.request import whole
from genprob.results.provenance import provenance


def compare(
    joints: Iterable[Joint] | Mapping[str, Joint],
    ds: Any,
    metrics: str | Iterable[str] | Mapping[str, Mapping[str, Any]] | None = None,
    seed: int = 0,
    *,
    resamples: int = 2000,
    level: float = 0.95,
    figure: str | Path | None = None,
    **settings: Any,
) -> xr.DataTree:
    """The same metrics of several joints on the same rows, and their differences.

    Arguments:
        joints: two or more of the same variables; a mapping names them, otherwise their runs' folders do.
        ds: rows that none of them was fitted to, as `genprob.read` takes them.
        metrics: as for `evaluate`; every joint is asked the same rows and hidden cells.
        seed: of metrics and resamples.
        resamples: of the paired bootstrap over rows.
        level: of its intervals.
        figure: a picture of the differences to write, `.png`, `.svg` or `.pdf`.
        settings: options of the metrics, as for `evaluate`.

    Returns a tree with one group per metric: each score `s` and `s_se` along `joint`, and where it is a mean over rows
    `s_difference`, `s_low` and `s_high` along (`joint`, `other`), the first less the second. Raises `UsageError`,
    naming both sides, where variables, measures or kinds differ: such numbers mean different things.

    >>> import genprob
    >>> rows = {"x": [0.5, 1.25, 0.75, 1.5], "g": ["a", "b", "a", "b"]}
    >>> pair = {name: genprob.fit(rows, components=1, seed=seed) for seed, name in enumerate("ab")}
    >>> found = compare(pair, rows, metrics="masked", draws=20, resamples=20)
    >>> float(found["masked"]["crps_difference"].sel(joint="a", other="a"))
    0.0
    """
    started = time.monotonic()
    named = _named(joints)
    resamples = whole("resamples", resamples, 10)
    if not 0 < level < 1:
        raise UsageError(f"level={level!r}: expected a number between 0 and 1, e.g. 0.95")
    _same_variables(named)
    found: dict[str, dict[str, Measured]] = {}
    notes: list[str] = []
    rows = 0
    for name, joint in named.items():
        each, said, rows = measured(joint, ds, metrics, seed, settings)
        notes += [f"{name}: {note}" for note in said]
        for one in each:
            found.setdefault(one.metric, {})[name] = one
    groups = {f"/{m}": _group(each, seed, resamples, level) for m, each in found.items() if len(each) == len(named)}
    if not groups:
        raise UsageError("no metric suits every joint; " + "; ".join(notes))
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = {
        "seed": int(seed),
        "rows": rows,
        "level": float(level),
        "resamples": resamples,
        "notes": "; ".join(dict.fromkeys(notes)),
        "runs": json.dumps({n: str(j.run.path) if j.run is not None else "" for n, j in named.items()}),
        "seconds": time.monotonic() - started,
        "provenance": json.dumps(provenance(seed=seed, run=""), ensure_ascii=False, default=str),
    }
    if figure is not None:
        draw_comparison(tree, figure)
    return tree


def _named(joints: Iterable[Joint] | Mapping[str, Joint]) -> dict[str, Joint]:
    """The joints under different names."""
    if isinstance(joints, Mapping):
        named = {str(name): joint for name, joint in joints.items()}
    else:
        several = [joints] if isinstance(joints, Joint) else list(joints)
        words = [j.run.path.name if j.run is not None else type(j.model).__name__ for j in several]
        named = {
            word if words.count(word) == 1 else f"{word} {1 + words[:k].count(word)}": joint
            for k, (word, joint) in enumerate(zip(words, several, strict=True))
        }
    if len(named) < 2:
        raise UsageError("a comparison needs two joints at least")
    return named


def _same_variables(named: Mapping[str, Joint]) -> None:
    (first, one), *rest = named.items()
    for name, other in rest:
        lacks = sorted({*one.schema.names} ^ {*other.schema.names})
        if lacks:
            having, missing = (first, name) if lacks[0] in one.schema else (name, first)
            raise UsageError(
                f"{first} and {name} are of different variables: {lacks[0]!r} is in {having} and not in {missing}; "
                "fit them to the same variables"
            )
        for variable in one.schema:
            twin = other.schema[variable.name]
            if (variable.support.kind, variable.shape) != (twin.support.kind, twin.shape):
                raise UsageError(
                    f"variable {variable.name!r} is {_wording(variable)} in {first} and {_wording(twin)} in {name}; "
                    "fit both with one schema"
                )


def _wording(variable: Any) -> str:
    return variable.support.kind + (f" of shape {variable.shape}" if variable.shape else "")


def _group(found: Mapping[str, Measured], seed: int, resamples: int, level: float) -> xr.Dataset:
    """One metric of all joints."""
    results = {name: m.result for name, m in found.items()}
    first = next(iter(results.values()))
    variables: dict[str, Any] = {}
    coords: dict[str, Any] = {"joint": np.array(list(found), dtype=str)}
    for score in first.scores:
        twins = {n: s for n, result in results.items() for s in result.scores if s.name == score.name}
        labelled = [{dim: {*results[name].coords[dim]} for dim in score.dims} for name in twins]
        if len(twins) < len(results) or any(one != labelled[0] for one in labelled):
            continue  # not of all joints, or along labels of one joint's own
        _same_meaning(twins)
        order = [_positions(first.coords, results[name].coords, score.dims) for name in twins]
        about = attributes(score)
        for name, field in ((score.name, "value"), (f"{score.name}_se", "error")):
            arrays = [np.asarray(getattr(s, field))[at] for s, at in zip(twins.values(), order, strict=True)]
            variables[name] = (("joint", *score.dims), np.stack(arrays), about)
            about = {"units": score.units}
        coords |= {dim: labels(first.coords[dim]) for dim in score.dims}
        if score.better in ("higher", "lower") and all(s.cells is not None for s in twins.values()):
            variables |= _differences(score, list(twins.values()), seed, resamples, level)
            coords["other"] = coords["joint"]
    attrs: dict[str, Any] = {"metric": next(iter(found.values())).metric}
    for key in first.attrs:  # what is said of all joints alike, and what of each
        values = [result.attrs.get(key) for result in results.values()]
        if all(value == values[0] for value in values):
            attrs[key] = values[0]
        elif all(isinstance(value, (int, float)) for value in values):
            variables[key] = (("joint",), np.array(values))
    return xr.Dataset(variables, coords, attrs)


def _same_meaning(twins: Mapping[str, Score]) -> None:
    (first, one), *rest = twins.items()
    for name, other in rest:
        cure = "compare by metrics=['masked'] (--metric masked), which needs no log-probability"
        if one.kind != other.kind:
            raise UsageError(
                f"{one.name} is of kind {one.kind} in {first} and of kind {other.kind} in {name}; the two cannot be "
                f"compared: {cure}"
            )
        if _measures(one) != _measures(other):
            here, there = _measures(one) - _measures(other), _measures(other) - _measures(one)
            raise UsageError(
                f"{one.name} is relative to {'; '.join(sorted(here))} in {first} and to {'; '.join(sorted(there))} in "
                f"{name}; the two cannot be compared: fit both with one schema, or {cure}"
            )


def _measures(score: Score) -> set[str]:
    """Measure by variable, whatever their order."""
    return set(score.measure.split("; "))


def _positions(wanted: Mapping[str, Any], own: Mapping[str, Any], dims: tuple[str, ...]) -> Any:
    """Where a result holds the labels that another one has, in that one's order."""
    if not dims:
        return ...
    return np.ix_(*([list(own[dim]).index(label) for label in wanted[dim]] for dim in dims))


def _differences(score: Score, twins: list[Score], seed: int, resamples: int, level: float) -> dict[str, Any]:
    """Every joint's score less every other's, with the ends of paired intervals."""
    found = np.zeros((3, len(twins), len(twins)))
    for i, ours in enumerate(twins):
        for j, theirs in enumerate(twins[:i]):
            middle, low, high = paired_bootstrap(_ordered(ours), _ordered(theirs), resamples, seed, level)
            found[:, i, j], found[:, j, i] = (middle, low, high), (-middle, -high, -low)
    return {
        f"{score.name}_{part}": (("joint", "other"), found[k], {"units": score.units})
        for k, part in enumerate(("difference", "low", "high"))
    }


def _ordered(score: Score) -> np.ndarray:
    """`[row, cell]` with the known cells first: within a row their order is that of each joint's own schema."""
    return np.sort(by_row(np.asarray(score.cells, dtype=np.float64)), axis=1)


def summary(tree: xr.DataTree) -> list[dict[str, Any]]:
    """The scores of a comparison, one row per joint and number.

    Keys as of `genprob.evaluation.summary`, and `joint`; where a score has differences, `best` (the joint with the best
    value), `difference` from it and the ends `low` and `high` of its interval.
    """
    out = []
    for row, ds, (joint, *rest) in numbers(tree):
        name = row["score"]
        names = ds[name].dims[1:]
        row["joint"] = str(ds["joint"].values[joint])
        row["where"] = {str(dim): ds[dim].values[i].item() for dim, i in zip(names, rest, strict=True)}
        row["se"] = float(ds[f"{name}_se"].values[(joint, *rest)])
        if f"{name}_difference" in ds:
            first = best(ds, name)
            row["best"] = str(ds["joint"].values[first])
            row |= {part: float(ds[f"{name}_{part}"].values[joint, first]) for part in ("difference", "low", "high")}
        out.append(row)
    return out
