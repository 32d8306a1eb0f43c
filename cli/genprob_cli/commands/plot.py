"""Draw an answer, an audit, or the history of a fit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genprob_cli.answer import Answer
from genprob_cli.examples import examples


@examples(
    "genprob plot answer.nc",
    "genprob plot answer.nc --kind pairs --out pairs.pdf",
    "genprob plot inpainted.nc --kind sheet",
    "genprob plot runs/a --out history.png",
)
def plot(
    path: Annotated[Path, typer.Argument(metavar="FILE|RUN", help="an answer, an audit, or a run for its history")],
    kind: Annotated[
        str | None,
        typer.Option("--kind", metavar="K", help="marginals (default), pairs, chains or sheet", show_default=False),
    ] = None,
    query: Annotated[int, typer.Option("--query", metavar="N", help="which query of a batch, from 0")] = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="PNG", help="the picture: .png, .svg or .pdf", show_default=False),
    ] = None,
) -> Answer:
    """Draw an answer, an audit, or the history of a fit."""
    import xarray as xr

    import genprob
    from genprob.engine.run import Run
    from genprob.errors import UsageError
    from genprob.results.plot import plot as draw
    from genprob.results.plot import plot_history
    from genprob.results.plot_audit import plot_audit

    picture = out or Path(f"{path.with_suffix('') if path.is_file() else path}.png")
    if path.is_dir():
        if kind is not None:
            raise UsageError(f"{path}: a run has one picture, its history; leave --kind out")
        run = Run.open(path)
        made = plot_history(run.events(), picture, title=f"{path.name}: {run.config['model']}")
    else:
        tree = genprob.open(path)
        if isinstance(tree, xr.Dataset):
            if "verdict" not in tree:
                raise UsageError(f"{path}: holds a table; answers, audits and runs are drawn")
            made = plot_audit(tree, picture)
        else:
            made = draw(tree, picture, kind=kind, query=query)
    return Answer({"picture": str(made)}, f"picture: {made}")
