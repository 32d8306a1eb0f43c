"""Which evidence moved an answer."""

from __future__ import annotations

from typing import Annotated

import typer

from genprob_cli.answer import Answer
from genprob_cli.examples import examples
from genprob_cli.parameters import Given, GivenFile, RunFolder, Seed, Targets


@examples("genprob influence runs/a --target y --given x=1.2 --given 'g in a,b'")
def influence(
    run: RunFolder,
    target: Targets = None,
    given: Given = None,
    given_json: GivenFile = None,
    draws: Annotated[int, typer.Option("--draws", metavar="N", min=2, help="draws to average over")] = 400,
    seed: Seed = 0,
) -> Answer:
    """Say which piece of the evidence moved the targets, in nats: what leaving it out would change."""
    import genprob
    from genprob.errors import UsageError
    from genprob.query.grammar import read_given
    from genprob_cli.render import stack, table

    if not target:
        raise UsageError("no target: name at least one variable with --target")
    joint = genprob.load(run)
    found = joint.influence(target, read_given(joint.schema, given or (), given_json), draws=draws, seed=seed)
    names = ["value", "change", "standard_error", *(["mean_without"] if "mean_without" in found else [])]
    rows = [
        {"evidence": str(found["evidence"].values[i]), **{name: found[name].values[i].item() for name in names}}
        for i in range(found.sizes["evidence"])
    ]
    headings = ("evidence", "value", "change in nats", "standard error", f"mean of {target[0]} without it")
    view = table(headings[: 1 + len(names)], [tuple(row.values()) for row in rows])
    if "mean" in found:
        view = stack(view, f"mean of {target[0]} given all: {float(found['mean']):.4g}")
    return Answer({"targets": target, "influence": rows, "reliable": found.attrs["reliable"]}, view)
