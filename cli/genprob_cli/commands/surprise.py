"""What is odd in the rows of a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genprob_cli.answer import Answer
from genprob_cli.examples import examples
from genprob_cli.parameters import RunFolder, Seed


@examples("genprob surprise runs/a new.csv --top 10", "genprob surprise runs/a new.csv --out odd.nc")
def surprise(
    run: RunFolder,
    data: Annotated[str, typer.Argument(metavar="DATA", help="the rows", show_default=False)],
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, help="how many cells to print")] = 10,
    seed: Seed = 0,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.nc", help="write all cells' surprise", show_default=False)
    ] = None,
) -> Answer:
    """Find the cells that are least expected given the rest of their rows."""
    import numpy as np

    import genprob
    from genprob.errors import UsageError
    from genprob_cli.export import export
    from genprob_cli.render import stack, table

    if out is not None and out.suffix.lower() != ".nc":
        raise UsageError(f"{out}: cells of rows are an array; the name must end in .nc")
    joint = genprob.load(run)
    rows = genprob.read(data, schema=joint.schema)
    found = joint.surprise(rows, seed=seed)
    if out is not None:
        export(found, out)
    dim = joint.schema.sample_dim
    values = found["excess"].values
    order = [i for i in np.argsort(-np.nan_to_num(values, nan=-np.inf), axis=None)[:top]]
    cells = []
    for row, column in zip(*np.unravel_index(order, values.shape), strict=True):
        if np.isnan(values[row, column]):
            continue
        name = str(found["variable"].values[column])
        label = found[dim].values[row].item() if dim in found.coords else int(row)
        value = rows[name].isel({dim: int(row)})
        said = str(value.item()) if value.ndim == 0 else f"array of {value.size}"
        numbers = {key: float(found[key].values[row, column]) for key in ("excess", "surprise", "rank")}
        cells.append({dim: label, "variable": name, "value": said, **numbers})
    headings = (dim, "variable", "value", "excess", "surprise", "rank")
    words = (
        "surprise: -log p(cell | rest of the row) in nats; excess: above the variable's average training cell; "
        "rank: share of its training cells that are less surprising"
    )
    view = stack(table(headings, [tuple(cell.values()) for cell in cells]), words)
    return Answer({"cells": cells, "out": str(out) if out else None}, view)
