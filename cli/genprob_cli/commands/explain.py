"""Say how a question would be answered: every strategy's offer or refusal."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from genprob_cli.answer import Answer
from genprob_cli.examples import examples
from genprob_cli.parameters import Given, GivenFile, RunFolder, Targets

COLUMNS = ("strategy", "offered", "chosen", "guarantee", "law", "limit", "cost", "reason")


@examples("genprob explain runs/a --target y --given x=1.2", "genprob explain runs/a --target y --given x=0.5..0.6")
def explain(
    run: RunFolder,
    target: Targets = None,
    given: Given = None,
    given_json: GivenFile = None,
    every: Annotated[bool, typer.Option("--all", help="list the strategies that refuse, too")] = False,
) -> Answer:
    """Say how a question would be answered: every strategy's offer or refusal, with its reason."""
    import genprob
    from genprob.query.grammar import read_given
    from genprob_cli.render import stack, table

    joint = genprob.load(run)
    evidence = read_given(joint.variables, given or (), given_json)
    offers: list[dict[str, Any]] = [
        {name: getattr(offer, name) for name in COLUMNS}
        for offer in joint.explain(targets=target or None, given=evidence).offers
    ]
    shown = [offer for offer in offers if every or offer["offered"]] or offers
    rest = len(offers) - len(shown)
    view = table(COLUMNS, [tuple(offer.values()) for offer in shown])
    more = f"\n{rest} other strategies refuse; --all says why" if rest else None
    return Answer({"offers": offers}, stack(view, more))
