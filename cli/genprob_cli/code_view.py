"""Pictures of a run's code: which rows, which plane, and what they are drawn by."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from genprob.errors import UsageError

if TYPE_CHECKING:
    import xarray as xr

    from genprob.joint import Joint

TAKES = {
    "strip": {"data": None, "row": None, "steps": 9, "seed": 0, "variable": None},
    "arithmetic": {"data": None, "row": None, "seed": 0, "variable": None},
    "plane": {"coordinates": "0,1", "reach": 2.0, "steps": 9, "seed": 0, "variable": None},
}
"""Which options each picture of a code takes, and what they are where they are not given."""


def draw_code(joint: Joint, kind: str, out: Path, options: dict[str, Any]) -> Path:
    """Draws the way between two rows, a plane of the code, or a sum of the codes of three rows."""
    from genprob.questions import codes
    from genprob.results.plot_code import plot_arithmetic, plot_plane, plot_strips

    codes.coded(joint)
    seed, variable = options["seed"], options["variable"]
    if kind == "plane":
        pair = _pair(options["coordinates"])
        made = codes.plane(joint, coordinates=pair, reach=options["reach"], steps=options["steps"], seed=seed)
        return plot_plane(made, out, variable)
    if kind == "arithmetic":
        return plot_arithmetic(codes.arithmetic(joint, _rows(joint, options, 3), seed=seed), out, variable)
    rows = _rows(joint, options, 2)
    strips = {
        f"straight in the {'code' if space == 'code' else 'data'}": codes.interpolate(
            joint, rows, steps=options["steps"], space=space, seed=seed
        )
        for space in ("code", "data")
    }
    return plot_strips(strips, out, variable)


def _rows(joint: Joint, options: dict[str, Any], count: int) -> xr.Dataset:
    """The rows asked of a data set, or of the training rows that the run keeps."""
    from genprob.data.table import Table

    asked = options["row"] or list(range(count))
    if len(asked) != count:
        raise UsageError(f"{count} rows are needed: give --row {count} times, not {len(asked)}")
    if options["data"] is None:
        kept, what = joint.reference, "the part of the training rows that the run keeps"
        values = kept.values.double().masked_fill(~kept.observed, float("nan")).cpu().numpy()
    else:
        values, what = joint.table(options["data"]).values, options["data"]
    wrong = [row for row in asked if not 0 <= row < len(values)]
    if wrong:
        raise UsageError(f"--row {wrong[0]}: {what} has rows 0 to {len(values) - 1}")
    return Table(joint.schema, values[asked]).to_dataset()


def _pair(text: str) -> tuple[int, int]:
    try:
        first, second = (int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--coordinates {text}: give two coordinates of the code, such as 0,1") from None
    return first, second
