"""Draw an answer, an audit, the history of a fit, or what the joint of a run is like."""

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
    "genprob plot runs/digits --kind strip --data digits --row 3 --row 8",
    "genprob plot runs/digits --kind plane --coordinates 0,1 --reach 2",
    "genprob plot runs/digits --kind arithmetic --row 3 --row 8 --row 5",
    "genprob plot runs/a --kind neighbours --data train.csv",
    "genprob plot runs/a --kind film --given 'x=1.2'",
)
def plot(
    path: Annotated[Path, typer.Argument(metavar="FILE|RUN", help="an answer, an audit, or a run")],
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind",
            metavar="K",
            help="of an answer: marginals (default), pairs, chains or sheet; of a run: history (default), strip, "
            "plane, arithmetic, neighbours, film, field or reconstruction",
            show_default=False,
        ),
    ] = None,
    query: Annotated[int, typer.Option("--query", metavar="N", help="which query of a batch, from 0")] = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="PNG", help="the picture: .png, .svg or .pdf", show_default=False),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data", metavar="DATA", help="whose rows; of codes, default: the training rows kept", show_default=False
        ),
    ] = None,
    row: Annotated[
        list[int] | None,
        typer.Option("--row", metavar="N", help="a row, from 0; two of a strip, three of a sum", show_default=False),
    ] = None,
    coordinates: Annotated[
        str | None,
        typer.Option("--coordinates", metavar="I,J", help="the plane's; default: 0,1", show_default=False),
    ] = None,
    reach: Annotated[
        float | None,
        typer.Option("--reach", metavar="R", help="the plane goes from -R to R; default: 2", show_default=False),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps",
            metavar="N",
            help="pictures of a strip or along a plane, default: 9; states of a film, default: 16",
            show_default=False,
        ),
    ] = None,
    variable: Annotated[
        str | None,
        typer.Option("--variable", metavar="NAME", help="the image; default: the first", show_default=False),
    ] = None,
    given: Annotated[
        list[str] | None,
        typer.Option("--given", metavar="EVIDENCE", help="what a film's chain is held to", show_default=False),
    ] = None,
    noise: Annotated[
        float | None, typer.Option("--noise", metavar="SD", help="of a field; default: the model's", show_default=False)
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="N", help="of draws and chains; default: 0", show_default=False),
    ] = None,
) -> Answer:
    """Draw an answer, an audit, the history of a fit, or what the joint of a run is like.

    Of a run with a code: `strip`, the ways between two rows, straight in the code and in the data, with the log-density
    along each; `plane`, what a plane of the code decodes to; `arithmetic`, what the first row's code minus the second's
    plus the third's decodes to. Of any run: `neighbours`, draws beside the rows of the data that they are nearest to.
    Of a run with a denoiser or a chain: `film`, the chain's states; `field`, where points of the plane of two reals are
    moved; `reconstruction`, rows made again from what the model sees of them.
    """
    import xarray as xr

    import genprob
    from genprob.engine.run import Run
    from genprob.errors import UsageError
    from genprob.results.plot import plot as draw
    from genprob.results.plot import plot_history
    from genprob.results.plot_audit import plot_audit
    from genprob_cli.run_view import TAKES, draw_run, settled

    asked = {"data": data, "row": row, "coordinates": coordinates, "reach": reach, "steps": steps, "seed": seed}
    options = settled(kind, asked | {"variable": variable, "given": given, "noise": noise})
    picture = out or Path(f"{path.with_suffix('') if path.is_file() else path}.png")
    if path.is_dir():
        if kind in TAKES:
            made = draw_run(path, kind, picture, options)
        elif kind not in (None, "history"):
            raise UsageError(f"{path}: --kind {kind} is not one of a run's: history, {', '.join(TAKES)}")
        else:
            run = Run.open(path)
            made = plot_history(run.events(), picture, title=f"{path.name}: {run.config['model']}")
    elif kind in TAKES:
        raise UsageError(f"{path}: --kind {kind} is drawn of a run, the folder that fit wrote")
    else:
        tree = genprob.open(path)
        if isinstance(tree, xr.Dataset):
            if "verdict" not in tree:
                raise UsageError(f"{path}: holds a table; answers, audits and runs are drawn")
            made = plot_audit(tree, picture)
        else:
            made = draw(tree, picture, kind=kind, query=query)
    return Answer({"picture": str(made)}, f"picture: {made}")
