"""Ask a joint distribution: given what is known, what of the rest?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genprob_cli.answer import Answer
from genprob_cli.examples import examples
from genprob_cli.parameters import Draws, Given, GivenFile, RunFolder, Seed, Strategy, Targets


@examples(
    "genprob query runs/a --target y --given x=1.2 --out answer.nc",
    "genprob query runs/a --target y --target z --given 'w=0.5..0.6' --given 'g in a,b'",
    "genprob query runs/a --target y --given 'v=3.0+-0.2' --strict --json",
    "genprob query runs/a --target y --given 'w=0.5..0.6' --audit",
    "genprob query runs/a --rows holes.csv --draws 100 --out filled.nc",
)
def query(
    run: RunFolder,
    target: Targets = None,
    given: Given = None,
    given_json: GivenFile = None,
    rows: Annotated[
        Path | None,
        typer.Option("--rows", metavar="FILE", help="a table whose blank cells are asked, row by row"),
    ] = None,
    draws: Draws = 1000,
    seed: Seed = 0,
    strategy: Strategy = None,
    audit: Annotated[bool, typer.Option("--audit", help="test this very answer on planted truths like it")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="exit with 8 if the answer may not be trusted")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="ANSWER.nc", help="write the answer", show_default=False)
    ] = None,
) -> Answer:
    """Ask a joint distribution: given what is known, what of the rest?"""
    import genprob
    from genprob.errors import UnreliableError, UsageError
    from genprob.query.grammar import read_given
    from genprob_cli.answer_view import document, view
    from genprob_cli.render import stack

    if rows is not None and (given or given_json):
        raise UsageError("--rows says what is known in its cells: leave --given and --given-json out")
    if out is not None and out.suffix.lower() not in (".nc", ".h5", ".hdf5"):
        raise UsageError(f"{out}: an answer is a netCDF file, and its name must end in .nc, .h5 or .hdf5")
    joint = genprob.load(run)
    tree = joint.query(
        target or None,
        read_given(joint.variables, given or (), given_json) if rows is None else None,
        rows=rows,
        draws=draws,
        seed=seed,
        strategy=strategy,
        out=out,
        audit=audit,
    )
    said = document(tree) | {"out": str(out) if out else None}
    complaint = None
    if strict and not said.get("reliable"):
        complaint = UnreliableError(f"the answer may not be trusted: {said.get('reasons') or 'see its status'}")
    return Answer(said, stack(view(tree), f"answer: {out}" if out else None), complaint)
