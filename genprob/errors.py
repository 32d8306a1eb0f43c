"""Exceptions with exit codes: one class per kind of failure a user can act on.

Every exception that genprob raises on purpose is a `GenprobError`. The command line turns it into one line on
stderr and the class's `exit_code`; from Python it is an ordinary exception whose text says what was wrong, where
(file, row, variable), and what to do next.
"""

from __future__ import annotations


class GenprobError(Exception):
    """Anything genprob refuses or fails at on purpose (exit code 1)."""

    exit_code: int = 1


class UsageError(GenprobError):
    """The request cannot be meant: unknown name, contradictory evidence, wrong option (exit code 2)."""

    exit_code = 2


class DataError(GenprobError):
    """The data cannot be used as they are: unreadable, ragged, out of support (exit code 3)."""

    exit_code = 3


class CorruptFileError(GenprobError):
    """A file of ours is truncated, altered or not one of ours (exit code 4)."""

    exit_code = 4


class RunBusyError(GenprobError):
    """Another process is writing this run (exit code 5)."""

    exit_code = 5


class PluginError(GenprobError):
    """A plugin is missing, broken, ambiguous or violates its contract (exit code 6)."""

    exit_code = 6


class Diverged(GenprobError):
    """A loss, parameter or chain became non-finite; the last good checkpoint is kept (exit code 7)."""

    exit_code = 7


class UnreliableError(GenprobError):
    """An answer that may not be trusted, under `--strict`, or that no strategy could produce (exit code 8)."""

    exit_code = 8


class ResourceError(GenprobError):
    """Out of disk, memory or budget (exit code 9)."""

    exit_code = 9
