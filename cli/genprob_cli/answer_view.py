"""What a query's answer looks like, as a document and for people; `query`, `show` and `demo` share it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from genprob_cli.render import cell, stack, table

if TYPE_CHECKING:
    import xarray as xr

_NUMBERS = ("mean", "sd", "q05", "q50", "q95", "mcse", "unit")
_SHOWN = 5
_HEAVY = 0.7
"""k-hat from which a tail is too heavy."""


def document(tree: xr.DataTree) -> dict[str, Any]:
    """The status of an answer and, under `marginals`, one row per target (and query); what was known is left out."""
    from genprob.results.summary import status

    said = status(tree)
    return {**said, "marginals": _asked(tree, int(said.get("queries") or 1))}


def view(tree: xr.DataTree) -> Any:
    """Tables of the targets and what is to be said about trust."""
    from genprob.results.summary import status

    said = status(tree)
    queries = int(said.get("queries") or 1)
    more = f"({_SHOWN} of {queries} queries are shown)\n" if queries > _SHOWN else None
    return stack(variables(_asked(tree, _SHOWN)), more, trust(said))


def _asked(tree: xr.DataTree, first: int) -> list[dict[str, Any]]:
    """Rows of the first queries, less the variables that a query of a batch was given whole."""
    from genprob.results.summary import summary

    rows = summary(tree, first=first)
    if "query" not in tree["posterior"].dims or "observed_data" not in tree.children:
        return rows
    known = tree["observed_data"].to_dataset().isel(query=slice(first)).notnull()
    given = {str(name): values.all([d for d in values.dims if d != "query"]).values for name, values in known.items()}
    return [row for row in rows if row["variable"] not in given or not given[row["variable"]][row["query"]]]


def variables(rows: Iterable[Mapping[str, Any]]) -> Any:
    """Rows of `genprob.results.summary.summary` as tables: numbers, labels, arrays."""
    rows = list(rows)
    lead = [name for name in ("group", "query", "variable") if any(name in row for row in rows)]
    numbers = [row for row in rows if "mean" in row]
    labels = [row for row in rows if "probabilities" in row and "mean" not in row]
    arrays = [row for row in rows if "shape" in row and "mean" not in row and "probabilities" not in row]
    kept = [name for name in _NUMBERS if any(row.get(name) is not None for row in numbers)]
    parts = [
        table([*lead, *kept], [[row.get(name) for name in (*lead, *kept)] for row in numbers]) if numbers else None,
        table([*lead, "probability"], [[*(row.get(n) for n in lead), _shares(row)] for row in labels])
        if labels
        else None,
        table([*lead, "shape", "means", "sds"], [[*(row.get(n) for n in lead), *_extent(row)] for row in arrays])
        if arrays
        else None,
    ]
    shown = [part for part in parts if part is not None]
    return stack(*(piece for part in shown for piece in (part, "")))


def trust(said: Mapping[str, Any]) -> str:
    """How far to trust the answer, in three lines."""
    single = (said.get("queries") or 1) == 1
    reliable = bool(said.get("reliable"))
    word = "reliable" if reliable else "NOT reliable"
    if not single:
        word = f"{said.get('reliable_queries')} of {said.get('queries')} queries reliable; at worst"
    figures = [
        f"{name} {cell(float(said[key]))}"
        for name, key in (("ESS", "ess"), ("k-hat", "khat"), ("R-hat", "rhat"))
        if isinstance(said.get(key), (int, float)) and not (key == "khat" and _idle(said))
    ]
    lines = [
        f"{word}: computation {said.get('computation')}, "
        f"support {said.get('support')}, calibration {said.get('calibration')}",
        f"by {said.get('strategy')} ({said.get('guarantee')}, law {said.get('law')}); "
        + ", ".join([*figures, f"{cell(float(said.get('seconds') or 0))} s"]),
    ]
    if single and isinstance(said.get("log_evidence"), (int, float)):
        error = said.get("log_evidence_se")
        lines.append(
            f"log-evidence {cell(float(said['log_evidence']))}"
            + (f" +- {cell(float(error))}" if isinstance(error, (int, float)) and error else "")
        )
    if said.get("reasons"):
        lines.append(str(said["reasons"]))
    return "\n".join(lines)


def _idle(said: Mapping[str, Any]) -> bool:
    """True where k-hat was not held against the computation: weights too equal to have a tail to judge."""
    return said.get("computation") == "ok" and float(said["khat"]) >= _HEAVY


def _shares(row: Mapping[str, Any]) -> str:
    return "  ".join(f"{label} {p:.3f}" for label, p, _ in row["probabilities"])


def _extent(row: Mapping[str, Any]) -> tuple[str, str, str]:
    means, sds = (
        f"{cell(row[f'{key}_min'])} to {cell(row[f'{key}_max'])}" if f"{key}_min" in row else "-"
        for key in ("mean", "sd")
    )
    return " x ".join(map(str, row["shape"])), means, sds
