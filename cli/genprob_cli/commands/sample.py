"""Draw from the joint distribution."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genprob_cli.answer import Answer
from genprob_cli.examples import examples
from genprob_cli.parameters import Draws, RunFolder, Seed


@examples("genprob sample runs/a --draws 1000 --out draws.csv", "genprob sample runs/a --draws 1000 --out draws.nc")
def sample(
    run: RunFolder,
    *,
    draws: Draws = 1000,
    seed: Seed = 0,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE.nc|csv|parquet", help="where to write them", show_default=False)
    ],
) -> Answer:
    """Draw from the joint distribution."""
    import genprob
    from genprob_cli.export import check, export

    check(out)
    drawn = genprob.load(run).sample(draws, seed=seed)
    export(drawn, out)
    document = {"draws": draws, "seed": seed, "variables": [str(name) for name in drawn.data_vars], "out": str(out)}
    return Answer(document, f"{draws} draws of {len(document['variables'])} variables in {out}")
