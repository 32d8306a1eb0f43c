"""Evaluate a joint on rows that it was not fitted to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genprob_cli.answer import Answer
from genprob_cli.examples import examples
from genprob_cli.parameters import Metrics, MetricSettings, RunFolder, Seed, Train


@examples(
    "genprob evaluate runs/a held-out.csv",
    "genprob evaluate runs/a held-out.csv --metric masked --set draws=200 --json",
    "genprob evaluate runs/a held-out.csv --metric conditional_log_likelihood --set given=x,g",
    "genprob evaluate runs/a held-out.csv --metric specialist_gap --metric memorisation --train train.csv",
    "genprob evaluate runs/a held-out.csv --metric two_sample --metric masked --set masked.shares=0.5,1 --out s.nc",
)
def evaluate(
    run: RunFolder,
    data: Annotated[str, typer.Argument(metavar="DATA", help="rows that the joint was not fitted to")],
    metric: Metrics = None,
    set_: MetricSettings = None,
    train: Train = None,
    seed: Seed = 0,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.nc", help="write all scores, per row too", show_default=False)
    ] = None,
) -> Answer:
    """Evaluate a joint on rows that it was not fitted to."""
    import genprob
    from genprob.evaluation import summary
    from genprob.results.file import write
    from genprob_cli.scores import document, evaluation_view, settings

    tree = genprob.evaluate(genprob.load(run), data, metric or None, seed, **settings(set_, train))
    if out is not None:
        write(tree, out)
    rows = summary(tree)
    return Answer(document(tree, rows) | {"out": str(out) if out else None}, evaluation_view(tree, rows))
