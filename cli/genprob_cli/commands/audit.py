"""Test the strategies of a joint on truths that it plants itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genprob_cli.answer import Answer
from genprob_cli.examples import examples
from genprob_cli.parameters import RunFolder, Seed, Strategy


@examples(
    "genprob audit runs/a",
    "genprob audit runs/a --kind points --kind noisy --share 0.5 --queries 400",
    "genprob audit runs/a --data held-out.csv --out audit.png",
)
def audit(
    run: RunFolder,
    queries: Annotated[
        int, typer.Option("--queries", metavar="N", help="planted truths of each kind and share, 40 or more")
    ] = 200,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", metavar="K", help="points, ranges, noisy; repeat for several [default: points, ranges]"),
    ] = None,
    share: Annotated[
        list[float] | None,
        typer.Option("--share", metavar="S", help="share of the variables given; repeat [default: .25, .5, .75]"),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="DATA", help="held-out rows, to see the model's errors too", show_default=False),
    ] = None,
    strategy: Strategy = None,
    seed: Seed = 0,
    fresh: Annotated[bool, typer.Option("--fresh", help="do again what the run already holds")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="PNG", help="draw the picture here", show_default=False)
    ] = None,
) -> Answer:
    """Test the strategies of a joint on truths that it plants itself; later answers look their cell up."""
    import genprob
    from genprob.results.plot_audit import plot_audit
    from genprob_cli.audit_view import document, line, view
    from genprob_cli.progress import Progress
    from genprob_cli.render import stack

    joint = genprob.load(run)
    with Progress() as progress:
        cells = joint.audit(
            queries=queries,
            kinds=kind or ("points", "ranges"),
            shares=share or (0.25, 0.5, 0.75),
            data=data,
            strategy=strategy,
            seed=seed,
            resume=not fresh,
            progress=lambda event: progress({"message": line(event)}),
        )
    picture = plot_audit(cells, out or run / "audit.png")
    said = document(cells) | {"run": str(run), "picture": str(picture)}
    return Answer(said, stack(view(cells), f"picture: {picture}"))
