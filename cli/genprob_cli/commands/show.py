"""Show what a result file or a run holds, after checking that nothing in it was altered."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from genprob_cli.answer import Answer
from genprob_cli.examples import examples


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
    state = "finished" if run.finished else "not finished: resume it with genprob fit DATA --out RUN --resume"
    rows = [(v.name, v.support.text(), v.measure.text() if v.measure else None, v.unit, v.note) for v in schema]
    head = f"{config['model']} by {config['inference']['name']}, {config['rows']} rows, step {run.step} ({state})"
    chosen = config.get("choice") or {}
    why = [f"chosen: {chosen[key]}" for key in ("why", "contest") if key in chosen]
    return Answer(document, stack(head, *why, "", table(("variable", "support", "measure", "unit", "why"), rows)))
