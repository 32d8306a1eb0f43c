"""A result in a few lines: one row per target, and what is to be said about the answer as a whole."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray as xr

_SHOWN = (0.05, 0.5, 0.95)
_LEVELS = 10


def summary(tree: xr.DataTree | xr.Dataset, first: int = 5) -> list[dict[str, Any]]:
    """One row per variable (and query) with plain Python values, ready to be rendered or dumped as JSON.

    Numbers have `mean`, `sd`, `q05`, `q50`, `q95` and `mcse`, categories `probabilities`: `[label, p, mcse]`, the
    likeliest first. Arrays have one row with their `shape` and the ranges of their means and sds. A batch has the
    rows of its `first` queries. A data set has one row per variable over all its values.
    """
    import xarray as xr

    if isinstance(tree, xr.Dataset):
        return [_row_of_values(str(name), values.values) for name, values in tree.data_vars.items()]
    if "posterior" not in tree.children:
        return [{"group": name, **row} for name, node in tree.children.items() for row in summary(node.to_dataset())]
    posterior, marginals = tree["posterior"].to_dataset(), tree["marginals"].to_dataset()
    rows = []
    queries = range(min(first, posterior.sizes["query"])) if "query" in posterior.dims else (None,)
    for query in queries:
        of_query = marginals if query is None else marginals.isel(query=query)
        draws = posterior if query is None else posterior.isel(query=query)
        for name in draws.data_vars:
            row = _row(str(name), of_query, draws[name].values)
            unit = posterior[name].attrs.get("units")
            row |= {} if unit is None else {"unit": unit}
            rows.append(row if query is None else {"query": query, **row})
    return rows


def status(tree: xr.DataTree) -> dict[str, Any]:
    """Strategy, evidence and how far the answer can be trusted; for a batch the worst, and the share that is reliable.

    Keys are those of the answer's attributes, plus `evidence` (variable -> text, of a single query), `targets` (a
    list), `reliable_share` and `provenance` (a dict). Numbers that a strategy does not have are None.
    """
    out: dict[str, Any] = {}
    for name, value in tree.attrs.items():
        value = value.item() if isinstance(value, np.generic) else value
        if name != "schema":
            out[str(name)] = None if isinstance(value, float) and math.isnan(value) else value
    for name in ("targets", "provenance"):
        if isinstance(out.get(name), str):
            out[name] = json.loads(out[name])
    if out.get("queries"):
        out["reliable_share"] = out.get("reliable_queries", 0) / out["queries"]
    evidence = evidence_of(tree)
    if evidence is not None:
        out["evidence"] = evidence
    return out


def evidence_of(tree: xr.DataTree, query: int | None = None) -> dict[str, str] | None:
    """Variable -> its evidence as text, of a single query or of one of a batch; None where there is none to tell."""
    if "query" not in tree.children:
        return None
    asked = tree["query"].to_dataset()
    if "evidence" not in asked:
        return None
    texts = asked["evidence"]
    if "query" in texts.dims:
        if query is None:
            return None
        texts = texts.isel(query=query)
    return json.loads(str(texts.values))


def _row(name: str, marginals: xr.Dataset, draws: np.ndarray) -> dict[str, Any]:
    """From the marginals where they are, else from the draws."""
    pmf, mean = marginals.get(f"{name}_pmf"), marginals.get(f"{name}_mean")
    if mean is None and pmf is None:
        return _row_of_values(name, draws, lead=2)
    event = pmf.dims[:-1] if pmf is not None else mean.dims if mean is not None else ()
    if event:
        row: dict[str, Any] = {"variable": name, "shape": [marginals.sizes[dim] for dim in event]}
        if mean is not None:
            for key in ("mean", "sd"):
                values = marginals[f"{name}_{key}"].values
                row |= {f"{key}_min": _plain(values.min()), f"{key}_max": _plain(values.max())}
        return row
    row = {"variable": name}
    if mean is not None:
        row |= {key: _plain(marginals[f"{name}_{key}"].values) for key in ("mean", "sd", "mcse")}
        quantiles = marginals[f"{name}_quantile"]
        row |= {f"q{round(q * 100):02d}": _plain(quantiles.sel(quantile=q, method="nearest").values) for q in _SHOWN}
    if pmf is not None:
        mcse = marginals.get(f"{name}_pmf_mcse")
        errors = np.full(pmf.shape, np.nan) if mcse is None else mcse.values
        levels = [_plain(level) for level in pmf[pmf.dims[-1]].values]
        row["probabilities"] = _sorted(levels, pmf.values, errors)
    return row


def _row_of_values(name: str, values: np.ndarray, lead: int = 1) -> dict[str, Any]:
    """Of all values together; the first `lead` dimensions are draws or rows."""
    row: dict[str, Any] = {"variable": name}
    if values.ndim > lead:
        row["shape"] = list(values.shape[lead:])
    if values.dtype.kind in "OUST":
        known = [label for label in values.reshape(-1).tolist() if isinstance(label, str) and label]
        levels, counts = np.unique(np.asarray(known, dtype=str), return_counts=True)
        row["probabilities"] = _sorted(levels.tolist(), counts / max(len(known), 1), np.full(len(levels), np.nan))
        return row
    dates = values.dtype.kind in "Mm"
    numbers = values.astype("M8[us]").astype(np.int64).astype(float) if dates else values.astype(float)
    numbers = numbers.reshape(-1)
    numbers = numbers[~(np.isnat(values.reshape(-1)) if dates else np.isnan(numbers))]
    if not numbers.size:
        return row | {"mean": None, "sd": None} | {f"q{round(q * 100):02d}": None for q in _SHOWN}

    def shown(number: Any) -> Any:
        return _plain(np.int64(number).astype("M8[us]")) if dates else _plain(number)

    row |= {"mean": shown(numbers.mean()), "sd": float(numbers.std()) / (86_400e6 if dates else 1.0)}
    return row | {f"q{round(q * 100):02d}": shown(np.quantile(numbers, q)) for q in _SHOWN}


def _sorted(levels: list[Any], p: np.ndarray, errors: np.ndarray) -> list[list[Any]]:
    order = np.argsort(-p, kind="stable")[:_LEVELS]
    return [[levels[i], _plain(p[i]), _plain(errors[i])] for i in order]


def _plain(value: Any) -> Any:
    """A Python scalar; dates as text, NaN as None."""
    array = np.asarray(value)
    if array.dtype.kind in "Mm":
        return None if np.isnat(array) else str(array.astype("M8[s]")).removesuffix("T00:00:00")
    item = array.item()
    return None if isinstance(item, float) and math.isnan(item) else item
