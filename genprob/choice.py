"""Choice: which model a fit takes where none is named, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genprob import plugins
from genprob.errors import UsageError
from genprob.request import DEFAULT_MODEL, Request

if TYPE_CHECKING:
    from genprob.data.table import Table

RIVAL = "anyorder"
"""The model that is fitted where a table is large enough to pay for it."""
LEAST_ROWS = 5000
"""Rows from which it is: it takes about a minute whatever their number, the default model seconds."""
MOST_COLUMNS = 100
"""Columns up to which it is: its steps grow dearer with them."""


MOST_NUMBERS = 500
"""Numbers a row above which the default model's matrices take minutes, which is said."""


@dataclass(frozen=True)
class Choice:
    """A model, the reason for it in a line, and the model it is to be compared with on held-out rows, if any."""

    model: str
    why: str
    rival: str | None = None

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> Choice | None:
        """The choice that a run's configuration leaves open: its model was not yet compared with the rival."""
        said = config.get("choice") or {}
        if said.get("rival") is None or "kept" in said:
            return None
        return cls(config["model"], said["why"], said["rival"])

    @property
    def record(self) -> dict[str, Any]:
        """What a run's configuration holds of it."""
        return {"why": self.why, "rival": self.rival}


def stated(
    options: Mapping[str, Any], inference: str | Mapping[str, Any] | None, steps: int | None, seed: int
) -> Request | None:
    """The fit that is meant where options, an inference or a number of steps are said and no model; None if none are.

    It is of the first model that knows them. Raises `UsageError`, the default model's, where there is none.
    """
    if not options and inference is None and steps is None:
        return None
    try:
        return Request.of(DEFAULT_MODEL, options, inference, steps, seed)
    except UsageError:
        try:
            return Request.of(RIVAL, options, inference, steps, seed)
        except UsageError:
            pass
        raise


def choose(table: Table) -> Choice:
    """The model for a table of which nothing else is said (docs/decisions/0012).

    Arrays and small tables get the default model. A large table of scalars gets the network, to be compared with the
    default model on held-out rows; the better of both is kept.
    """
    rows, columns = len(table), table.schema.width
    slow = f"{RIVAL} (model={RIVAL!r}, --model {RIVAL}) takes about a minute and is often more accurate"
    numbers = sum(v.cardinality is None for v in table.schema.columns)
    if numbers > MOST_NUMBERS:
        why = f"{numbers} numbers a row, over which it inverts matrices: slow; model vae (--model vae) does without"
    elif any(v.shape for v in table.schema):
        why = f"{columns} cells a row, some in arrays; other models take longer (genprob models)"
    elif rows < LEAST_ROWS:
        why = f"{rows} rows, fewer than {LEAST_ROWS}; {slow}" if rows >= LEAST_ROWS // 10 else f"{rows} rows are few"
    elif columns > MOST_COLUMNS:
        why = f"{columns} columns, more than {MOST_COLUMNS}, for which {RIVAL} takes long"
    elif not _installed(RIVAL):
        why = f"{RIVAL} is not installed, or not enabled (genprob plugins)"
    else:
        why = (
            f"{rows} rows ({LEAST_ROWS} or more) of {columns} columns; takes a minute or more, {DEFAULT_MODEL} alone "
            f"(model={DEFAULT_MODEL!r}, --model {DEFAULT_MODEL}) seconds"
        )
        return Choice(RIVAL, f"model {RIVAL}, against {DEFAULT_MODEL}: {why}", DEFAULT_MODEL)
    return Choice(DEFAULT_MODEL, f"model {DEFAULT_MODEL}: {why}")


def _installed(model: str) -> bool:
    try:
        plugins.find("model", model)
    except UsageError:
        return False
    return True
