"""Say how a question would be answered: every strategy's offer or refusal."""

from __future__ import annotations

from typing import Any

from genprob_cli.answer import Answer
from genprob_cli.examples import examples
from genprob_cli.parameters import Given, GivenFile, RunFolder, Targets

COLUMNS = ("strategy", "offered", "chosen", "guarantee", "law", "limit", "cost", "reason")


@examples("genprob explain runs/a --target y --given x=1.2", "genprob explain runs/a --target y --given x=0.5..0.6")
def explain(run: RunFolder, target: Targets = None, given: Given = None, given_json: GivenFile = None) -> Answer:
    """Say how a question would be answered: every strategy's offer or refusal, with its reason."""
    import genprob
    from genprob.query.grammar import read_given
    from genprob_cli.render import table

    joint = genprob.load(run)
    evidence = read_given(joint.schema, given or (), given_json)
    offers: list[dict[str, Any]] = [
        {name: getattr(offer, name) for name in COLUMNS}
        for offer in joint.explain(targets=target or None, given=evidence).offers
    ]
    return Answer({"offers": offers}, table(COLUMNS, [tuple(offer.values()) for offer in offers]))
