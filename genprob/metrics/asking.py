"""What a metric asks of a joint, in flat numbers: rows of its data, draws of it, draws of hidden cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from genprob.data.readers import read
from genprob.data.schema import Schema
from genprob.data.table import Table
from genprob.errors import UnreliableError, UsageError
from genprob.results.vocabulary import plain_names

if TYPE_CHECKING:
    from genprob.joint import Joint

_FLOATS = 20_000_000
"""Numbers that the draws of one chunk of rows may take."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """Draws of the hidden cells of some rows.

    Attributes:
        part: the rows, as a slice of those that were asked.
        values: `[row, draw, width]`, codes for labels; cells that were not hidden are of no meaning.
        failed: `[row]` bool, where the computation of the answer failed by its own diagnostics.
        unanswered: `[row]` bool, where no strategy had an answer: these are draws given nothing.
    """

    part: slice
    values: np.ndarray
    failed: np.ndarray
    unanswered: np.ndarray


def table(joint: Joint, data: Any) -> Table:
    """The joint's variables in some data, those that are absent as missing. Raises `DataError` where there are none."""
    ds = read(data, schema=joint.schema, allow_missing=True)
    return Table.from_dataset(joint.schema, ds, allow_missing=True)


def sampled(joint: Joint, draws: int, seed: int) -> np.ndarray:
    """Rows of the joint `[draw, width]`."""
    return _flat(joint.schema, joint.sample(draws, seed=seed), "draw")


def drawn(joint: Joint, rows: Table, hidden: np.ndarray, draws: int, seed: int) -> Iterator[Drawn]:
    """Draws of the `hidden [row, width]` cells of each row given its other cells, chunk by chunk.

    A row that no strategy can answer is answered as if nothing were known of it; where that is every row, the error
    is raised.
    """
    step = max(1, min(8192, _FLOATS // (draws * rows.schema.width)))
    error, answered = None, 0
    for first in range(0, len(rows), step):
        part = slice(first, min(first + step, len(rows)))
        holed = replace(rows.rows(part), values=np.where(hidden[part], np.nan, rows.values[part]), coord=None)
        own = int(np.random.SeedSequence([seed, first]).generate_state(1)[0])
        values, failed, unanswered, why = _asked(joint, holed, draws, own)
        error, answered = error or why, answered + int((~unanswered).sum())
        if part.stop == len(rows) and not answered and error is not None:
            raise error
        yield Drawn(part, values, failed, unanswered)


def _asked(
    joint: Joint, holed: Table, draws: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, UsageError | UnreliableError | None]:
    """Values, which failed, which were unanswered, and the first refusal."""
    try:
        answer = joint.query(rows=holed.to_dataset(), draws=draws, seed=seed)
    except (UsageError, UnreliableError) as error:
        if len(holed) == 1:
            yes = np.ones(1, dtype=bool)
            return sampled(joint, draws, seed)[None], yes, yes, error
        half = len(holed) // 2
        *lower, why = _asked(joint, holed.rows(slice(0, half)), draws, seed)
        *upper, other = _asked(joint, holed.rows(slice(half, None)), draws, seed)
        values, failed, unanswered = (np.concatenate(pair) for pair in zip(lower, upper, strict=True))
        return values, failed, unanswered, why or other
    posterior = answer["posterior"].to_dataset()
    flat = _flat(joint.schema, posterior.stack(item=("query", "chain", "draw"), create_index=False), "item")
    status = answer["sample_stats"].to_dataset()
    failed = status["computation"].values == "fail" if "computation" in status else np.zeros(len(holed), dtype=bool)
    values = flat.reshape(len(holed), -1, flat.shape[1])
    # As many draws from each of many chains may be a few more than were asked.
    values = values[:, np.arange(draws) * values.shape[1] // draws]
    return values, failed, np.zeros(len(holed), dtype=bool), None


def _flat(schema: Schema, ds: xr.Dataset, dim: str) -> np.ndarray:
    """Decoded values as flat numbers `[row, width]`, whatever names a file would give the variables."""
    own = {plain: name for name, plain in plain_names(schema).items() if plain in ds and plain != name}
    events = {v.name: v.dims for v in schema}
    ds = ds.rename(own)
    arrays = {
        name: xr.DataArray(ds[name].transpose(dim, ...).values, dims=(dim, *events[name]))
        for name in schema.names
        if name in ds
    }
    return Table.from_dataset(replace(schema, sample_dim=dim), xr.Dataset(arrays), allow_missing=True).values
