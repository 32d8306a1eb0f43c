"""Strangers: columns of a source that a schema does not speak of."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from genprob.errors import DataError

UNREAD = "unread"
"""Attribute of a data set that was read for a joint: the source's columns that are no variables of it."""
_SHOWN = 5


def refuse_slip(name: str, strange: Sequence[str], source: str) -> None:
    """`DataError` where a column is spelt almost like an absent variable: it is no other column but that one."""
    plain = {other.strip().casefold(): other for other in strange}
    close = difflib.get_close_matches(name.strip().casefold(), plain, n=1, cutoff=0.85)
    if close:
        raise DataError(
            f"{source}: no variable {name!r}, but a column {plain[close[0]]!r}; rename it if it is the same, "
            "drop it if it is another"
        )


def remark(strange: Sequence[str]) -> str:
    """What to say of columns that were not read.

    >>> remark(["id", "when"])
    "rows: columns 'id', 'when' are no variables of the joint and were not read"
    """
    if not len(strange):
        return ""
    shown = ", ".join(map(repr, strange[:_SHOWN])) + (f" and {len(strange) - _SHOWN} more" * (len(strange) > _SHOWN))
    several = len(strange) > 1
    return (
        f"rows: {'columns' if several else 'column'} {shown} {'are no variables' if several else 'is no variable'} of "
        f"the joint and {'were' if several else 'was'} not read"
    )
