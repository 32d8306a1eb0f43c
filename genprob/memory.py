"""Memory: what there is of it, asked before much is taken."""

from __future__ import annotations

from genprob.errors import ResourceError

_GIB = 2**30


def available() -> int | None:
    """Bytes of memory that the system could give without swapping; None where it does not tell."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            lines = dict(line.split(":", 1) for line in file)
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None


def require(size: float, what: str, cure: str) -> None:
    """Raises `ResourceError` naming what needs the memory, and the cure, where `size` bytes are more than there are.

    >>> require(8.0, "a number", "take another")
    """
    there = available()
    if there is not None and size > there:
        raise ResourceError(
            f"{what} needs about {size / _GIB:.1f} GiB of memory, {there / _GIB:.1f} GiB are free; {cure}"
        )
