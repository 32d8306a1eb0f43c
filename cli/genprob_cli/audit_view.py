"""How an audit looks: a table of cells, and a document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from genprob_cli.render import stack, table

if TYPE_CHECKING:
    import xarray as xr

_COLUMNS = ("truths", "evidence", "given", "strategy", "n", "50 %", "80 %", "95 %", "p", "evidence z", "verdict")

_LEGEND = (
    "50 %, 80 %, 95 %: how often an interval of that width held the truth; p: how often chance alone would be as far "
    "off as this\nevidence z: by how many standard errors the log-evidences missed on average; verdict: fail where "
    "that is no chance, unknown where there are too few truths to tell"
)


def document(cells: xr.Dataset) -> dict[str, Any]:
    """The audit as JSON: a list of cells."""
    names = ("source", "kind", "share", "strategy", "queries", "failed", "p", "p_rank", "p_evidence", "p_density")
    names = (*names, "p_variable", "z_evidence", "verdict", "forecast", "seconds")
    out = []
    for i in range(cells.sizes["cell"]):
        one = cells.isel(cell=i)
        found = {name: one[name].item() for name in names}
        found["coverage"] = dict(zip(map(str, cells["level"].values), one["coverage"].values.tolist(), strict=True))
        out.append(found)
    return {"cells": out, "verdict": _overall(cells)}


def view(cells: xr.Dataset) -> Any:
    """The audit as a table, and what it says in a line."""
    rows = []
    for i in range(cells.sizes["cell"]):
        one = cells.isel(cell=i)
        cover = [f"{100 * c:.0f}" for c in one["coverage"].values]
        numbers = (float(one["p"]), float(one["z_evidence"]), str(one["verdict"].item()))
        source = str(one["source"].item()).replace("_", " ")
        given = f"{100 * float(one['share']):.0f} %"
        about = (source, str(one["kind"].item()), given, str(one["strategy"].item()), int(one["queries"]))
        rows.append((*about, *cover, *numbers))
    seconds = float(cells["seconds"].sum())
    return stack(table(_COLUMNS, rows), "", _LEGEND, f"{_overall(cells)}; {seconds:.1f} s of answering")


def line(event: Mapping[str, Any]) -> str:
    """One line of progress."""
    cells = event["cells"]
    said = ", ".join(f"{c.strategy} {c.verdict} (n = {c.queries})" for c in cells)
    about = f"{cells[0].source.replace('_', ' ')} {cells[0].kind}, {100 * cells[0].share:.0f} % given" if cells else ""
    return f"{event['step']}/{event['steps']}  {about}: {said}"


def _overall(cells: xr.Dataset) -> str:
    planted = cells.isel(cell=(cells["source"] == "planted").values)
    verdicts = [str(v) for v in planted["verdict"].values]
    failed = verdicts.count("fail")
    if failed:
        return f"{failed} of {len(verdicts)} cells FAIL: answers in them will not be called reliable"
    passed, count = verdicts.count("ok"), len(verdicts)
    if not passed:
        return f"{count} cells, all with too few truths to tell: ask for more of them (--queries)"
    words = f"{passed} of {count} cells passed: their answers agree with the planted truths"
    return words if passed == count else f"{words}; the others have too few truths to tell"
