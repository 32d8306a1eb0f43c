"""The probability of an event, given what is known."""

from __future__ import annotations

from typing import Annotated

import typer

from genprob_cli.answer import Answer
from genprob_cli.examples import examples
from genprob_cli.parameters import Given, GivenFile, RunFolder, Seed


@examples(
    "genprob probability runs/a --event 'y=2..' --given x=1.2",
    "genprob probability runs/a --event 'g in a,b' --event 'y=..0' --given 'w=0.5..0.6' --json",
)
def probability(
    run: RunFolder,
    event: Annotated[
        list[str],
        typer.Option("--event", metavar="EVENT", help="what may happen, as --given says things; several: all of them"),
    ],
    given: Given = None,
    given_json: GivenFile = None,
    draws: Annotated[int, typer.Option("--draws", metavar="N", min=2, help="draws, where it is not exact")] = 4000,
    seed: Seed = 0,
) -> Answer:
    """Say how probable an event is, given what is known."""
    import genprob
    from genprob.query.grammar import read_given
    from genprob_cli.render import table

    joint = genprob.load(run)
    known = read_given(joint.variables, given or (), given_json)
    found = joint.probability(read_given(joint.variables, event, None), known, draws=draws, seed=seed)
    said = {"probability": float(found), "standard_error": float(found.coords["standard_error"])}
    said |= {"guarantee": str(found.coords["guarantee"].item()), "reliable": int(found.coords["reliable"])}
    said |= {"reasons": str(found.coords["reasons"].item())}
    return Answer(said | {"event": found.attrs["event"]}, table(tuple(said), [tuple(said.values())]))
