"""Score rows by their log-probability."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated, Any

import typer

from genprob_cli.answer import Answer
from genprob_cli.examples import examples
from genprob_cli.parameters import RunFolder


@examples(
    "genprob score runs/a held-out.csv",
    "genprob score runs/a held-out.csv --cond x,g --out scores.csv",
)
def score(
    run: RunFolder,
    data: Annotated[str, typer.Argument(metavar="DATA", help="the rows to score; blank cells are left out")],
    cond: Annotated[
        str | None,
        typer.Option("--cond", metavar="a,b", help="score the other variables given these", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE.nc|csv|parquet", help="write the score of every row", show_default=False),
    ] = None,
) -> Answer:
    """Score rows by their log-probability, in nats per row."""
    import numpy as np

    import genprob
    from genprob_cli.export import check, export
    from genprob_cli.render import stack, table

    if out is not None:
        check(out)
    joint = genprob.load(run)
    given = next(csv.reader([cond], skipinitialspace=True)) if cond else []
    scores = joint.conditional_log_prob(data, given=given) if given else joint.log_prob(data)
    if out is not None:
        export(scores, out)
    values = scores["log_prob"].values
    measures = {v.name: v.measure.text() for v in joint.schema.modelled if v.measure and v.name not in given}
    spread = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
    document = {
        "rows": len(values),
        "mean_log_prob": float(np.mean(values)),
        "standard_error": spread,
        "estimator_standard_error": float(np.sqrt(np.mean(scores["standard_error"].values ** 2) / len(values))),
        "log_partition_se": float(scores.attrs["log_partition_se"]),
        "reliable": int(scores.attrs["reliable"]),
        "reasons": scores.attrs["reasons"],
        "kind": scores.attrs["kind"],
        "law": scores.attrs["law"],
        "given": given,
        "measure": measures,
        "out": str(out) if out else None,
    }
    words = ", ".join(sorted(set(measures.values())))
    columns = ("rows", "mean log-prob", "standard error", "kind", "relative to")
    row = (len(values), document["mean_log_prob"], spread, document["kind"], words)
    view = table(columns, [row])
    if absent := _absent(joint, data):
        document["absent"] = absent
        names = ", ".join(absent)
        view = stack(view, f"{data} has no {names}: its rows are scored by their other cells")
    if shared := document["log_partition_se"]:
        view = stack(view, f"all rows share an error of {shared:.3g} nats, that of the log-partition function")
    if not document["reliable"]:
        view = stack(view, f"not reliable: {document['reasons']}")
    return Answer(document, view)


def _absent(joint: Any, data: str) -> list[str]:
    """The joint's variables that the data have no column for."""
    from genprob.data.readers import read_chunks

    first = next(iter(read_chunks(data, 1, schema=joint.schema, allow_missing=True)))
    return [name for name in joint.schema.modelled.names if name not in first]
