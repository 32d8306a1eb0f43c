"""What evaluations and comparisons look like, as a document and for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genprob_cli.render import cell, stack, table
from genprob_cli.settings import assignment

if TYPE_CHECKING:
    import xarray as xr


def settings(words: Sequence[str] | None, train: str | None) -> dict[str, Any]:
    """The options that `--set` and `--train` give; texts are read by the metrics."""
    given = dict(
        assignment(word, "--set", "OPTION=VALUE", "--set draws=200 or --set masked.draws=200") for word in words or ()
    )
    return given if train is None else {"train": train, **given}


def document(tree: xr.DataTree, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The scores as rows, and what each metric was given and says of itself."""
    metrics = {
        name: {key: json.loads(value) if key == "settings" else value for key, value in node.attrs.items()}
        for name, node in tree.children.items()
    }
    about = {str(key): value for key, value in tree.attrs.items() if key not in ("schema", "provenance", "runs")}
    return {**about, "metrics": metrics, "scores": rows}


def evaluation_view(tree: xr.DataTree, rows: list[dict[str, Any]]) -> Any:
    """A table of the scores, those by share observed, by variable and by chain, and the notes."""
    columns = ("metric", "score", "value", "se", "n", "units", "better", "kind")
    lines = [
        (r["metric"], r["score"], r["value"], r["se"], r["n"], r["units"], r["better"], r["kind"])
        for r in rows
        if not r["where"]
    ]
    return stack(
        table(columns, lines), *_by_share(rows), *_per(rows, "variable"), *_per(rows, "chain"), *_remarks(tree, rows)
    )


def comparison_view(tree: xr.DataTree, rows: list[dict[str, Any]]) -> Any:
    """A table of the scores with their differences from the best joint, those by share observed, and the notes."""
    interval = f"{100 * tree.attrs['level']:g} % interval"
    columns = ("metric", "score", "joint", "value", "se", "difference", interval, "units", "better", "kind")
    lines = [
        (r["metric"], r["score"], r["joint"], r["value"], r["se"], *_difference(r), r["units"], r["better"], r["kind"])
        for r in rows
        if not r["where"]
    ]
    how = "differences are from the best joint, intervals by a paired bootstrap over rows"
    return stack(table(columns, lines), "", how, *_by_share(rows), *_remarks(tree, rows))


def _difference(row: Mapping[str, Any]) -> tuple[float | None, str]:
    if "best" not in row:
        return None, "-"
    if row["best"] == row["joint"]:
        return None, "best"
    return row["difference"], f"{cell(row['low'])} to {cell(row['high'])}"


def _by_share(rows: list[dict[str, Any]]) -> list[Any]:
    """Scores by share observed: shares side by side."""
    mine = [row for row in rows if set(row["where"]) == {"share"}]
    if not mine:
        return []
    shares = list(dict.fromkeys(row["where"]["share"] for row in mine))
    lead = [key for key in ("metric", "score", "joint") if key in mine[0]]
    lines: dict[tuple[str, ...], dict[float, float]] = {}
    for row in mine:
        key = tuple(str(row[k]).removesuffix("_by_share") for k in lead)
        lines.setdefault(key, {})[row["where"]["share"]] = row["value"]
    heads = ["all but one cell" if share == 1 else f"{100 * share:g} %" for share in shares]
    cells = [(*key, *(values.get(share) for share in shares)) for key, values in lines.items()]
    return ["", table((*lead, *heads), cells, "by share of a row's known cells that was given")]


def _per(rows: list[dict[str, Any]], dim: str) -> list[Any]:
    """Scores per variable or per chain, a table for each metric that has some; what else they lie along is a column."""
    out = []
    for metric in dict.fromkeys(row["metric"] for row in rows):
        at: dict[tuple[str, str], float] = {}
        for row in rows:
            if row["metric"] == metric and dim in row["where"]:
                rest = "".join(f", {other} {label}" for other, label in row["where"].items() if other != dim)
                at[row["where"][dim], row["score"].removesuffix(f"_by_{dim}") + rest] = row["value"]
        if at:
            heads = list(dict.fromkeys(head for _, head in at))
            lines = [
                (label, *(at.get((label, head)) for head in heads)) for label in dict.fromkeys(one for one, _ in at)
            ]
            out += ["", table((dim, *heads), lines, f"{metric}, per {dim}")]
    return out


def _remarks(tree: xr.DataTree, rows: list[dict[str, Any]]) -> list[str]:
    """What log-probabilities are relative to, what was asked in vain, notes."""
    out = [f"{score}: relative to {measure}" for score, measure in _measures(rows).items()]
    for name, node in tree.children.items():
        ds = node.to_dataset()
        for key, what in (("failed", "were answered with failed diagnostics"), ("unanswered", "had no answer")):
            count = [ds.attrs[key]] if key in ds.attrs else ds[key].values.tolist() if key in ds else []
            if any(count):
                each = f" ({', '.join(map(str, ds['joint'].values))})" if len(count) > 1 else ""
                out.append(f"{name}: {', '.join(map(str, count))} of {ds.attrs['rows']} queries {what}{each}")
    out += [tree.attrs["notes"]] if tree.attrs.get("notes") else []
    return ["", *out] if out else []


def _measures(rows: list[dict[str, Any]]) -> dict[str, str]:
    """Score -> the measure of its log-probabilities, of long lists the first words."""
    found = {row["score"]: row["measure"] for row in rows if row["measure"] and not row["where"]}
    return {score: text if len(text) <= 100 else f"{text[:97]}..." for score, text in found.items()}
