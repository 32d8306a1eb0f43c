"""Compare joints on the same rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genprob_cli.answer import Answer
from genprob_cli.examples import examples
from genprob_cli.parameters import Metrics, MetricSettings, Seed, Train


@examples(
    "genprob compare runs/a runs/b --data held-out.csv",
    "genprob compare runs/a runs/b runs/c --data held-out.csv --metric masked --figure differences.png --json",
)
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="two or more runs of the same variables")],
    data: Annotated[str, typer.Option("--data", metavar="DATA", help="rows that none of them was fitted to")],
    metric: Metrics = None,
    set_: MetricSettings = None,
    train: Train = None,
    seed: Seed = 0,
    resamples: Annotated[int, typer.Option("--resamples", metavar="N", min=10, help="of the paired bootstrap")] = 2000,
    level: Annotated[float, typer.Option("--level", metavar="P", help="of the intervals")] = 0.95,
    figure: Annotated[
        Path | None,
        typer.Option("--figure", metavar="PNG", help="a picture: .png, .svg or .pdf", show_default=False),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.nc", help="write scores and differences", show_default=False)
    ] = None,
) -> Answer:
    """Compare joints on the same rows, by paired differences with intervals."""
    import genprob
    from genprob.comparison import summary
    from genprob.errors import UsageError
    from genprob.results.file import write
    from genprob_cli.scores import comparison_view, document, settings

    words = [str(run) for run in runs]
    twice = [word for word in words if words.count(word) > 1]
    if twice:
        raise UsageError(f"{twice[0]} is given twice; name different runs")
    joints = {word: genprob.load(word) for word in words}
    tree = genprob.compare(
        joints, data, metric or None, seed, resamples=resamples, level=level, figure=figure, **settings(set_, train)
    )
    if out is not None:
        write(tree, out)
    rows = summary(tree)
    files = {"figure": str(figure) if figure else None, "out": str(out) if out else None}
    return Answer(document(tree, rows) | files, comparison_view(tree, rows))
