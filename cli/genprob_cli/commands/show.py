"""Show what a result file or a run holds, after checking that nothing in it was altered."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genprob_cli.answer import Answer
from genprob_cli.examples import examples

if TYPE_CHECKING:
    from genprob.engine.run import Run


@examples("genprob show answer.nc", "genprob show runs/a", "genprob show runs/a --json")
def show(path: Annotated[Path, typer.Argument(metavar="FILE|RUN", help="a result file or a run folder")]) -> Answer:
    """Show what a result file or a run holds, after checking that nothing in it was altered."""
    return _run(path) if path.is_dir() else _file(path)


def _file(path: Path) -> Answer:
    import xarray as xr

    import genprob
    from genprob.results.summary import evidence_of, summary
    from genprob_cli.answer_view import document, variables, view
    from genprob_cli.render import stack

    tree = genprob.open(path)
    if isinstance(tree, xr.Dataset) or "posterior" not in tree.children:
        rows = summary(tree)
        sizes = dict(tree.sizes) if isinstance(tree, xr.Dataset) else {}
        return Answer({"file": str(path), "sizes": sizes, "variables": rows}, variables(rows))
    known = evidence_of(tree)
    given = ", ".join(f"{name} {text}" for name, text in known.items()) if known else None
    return Answer({"file": str(path), **document(tree)}, stack(f"given {given}\n" if given else None, view(tree)))


def _run(path: Path) -> Answer:
    from genprob.data.schema_file import from_toml
    from genprob.engine.run import Run
    from genprob_cli.render import stack, table

    run = Run.open(path)
    run.verify()
    config, schema = run.config, from_toml(run.schema, str(path / "schema.toml"))
    events = run.events()
    metrics: dict[str, Any] = {k: v for k, v in (events[-1] if events else {}).items() if k not in ("step", "time")}
    document = {
        "run": str(path),
        "finished": run.finished,
        "step": run.step,
        "checkpoints": run.steps(),
        "config": config,
        "metrics": metrics,
        "sample_dim": schema.sample_dim,
        "variables": [
            {
                "name": v.name,
                "support": v.support.text(),
                "measure": v.measure.text() if v.measure else None,
                "unit": v.unit,
                "dims": v.dims,
                "shape": v.shape,
                "role": v.role,
                "note": v.note,
            }
            for v in schema
        ],
        "results": sorted(file.name for file in run.results.glob("*.nc")),
    }
    unknown = _unknowns(run)
    if unknown:
        document["posterior"] = unknown
    state = "finished" if run.finished else "not finished: resume it with genprob fit DATA --out RUN --resume"
    rows = [(v.name, v.support.text(), v.measure.text() if v.measure else None, v.unit, v.note) for v in schema]
    head = f"{config['model']} by {config['inference']['name']}, {config['rows']} rows, step {run.step} ({state})"
    chosen = config.get("choice") or {}
    why = [f"chosen: {chosen[key]}" for key in ("why", "contest") if key in chosen]
    listed = [table(("variable", "support", "measure", "unit", "why"), rows)]
    if unknown:
        columns = ("posterior", "role", "dims", "mean", "sd", "q05", "q95")
        lines = [tuple(row.get(name) for name in ("name", *columns[1:])) for row in unknown]
        listed += ["", table(columns, lines)]
    return Answer(document, stack(head, *why, "", *listed))


def _unknowns(run: Run) -> list[dict[str, Any]]:
    """What a run knows of a program's unknowns by draws, one row each; arrays without numbers."""
    import xarray as xr

    import genprob
    from genprob.engine.run import POSTERIOR

    if POSTERIOR not in run.files():
        return []
    tree = genprob.open(run.path / POSTERIOR)
    assert isinstance(tree, xr.DataTree)
    rows: list[dict[str, Any]] = []
    for name, draws in tree["posterior"].to_dataset().data_vars.items():
        dims = [str(dim) for dim in draws.dims[2:]]
        row: dict[str, Any] = {"name": str(name), "role": draws.attrs.get("role", ""), "dims": ", ".join(dims)}
        if not dims:
            q05, q95 = (float(q) for q in draws.quantile([0.05, 0.95]))
            row |= {"mean": float(draws.mean()), "sd": float(draws.std()), "q05": q05, "q95": q95}
        rows.append(row)
    return rows
