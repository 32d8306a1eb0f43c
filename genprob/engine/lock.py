"""The lock of a folder: one process writes at a time, and the lock of a dead one is none."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path

from genprob import atomic
from genprob.errors import RunBusyError


class Lock:
    """An advisory lock on a file, dropped by the system with the process that holds it.

    Arguments:
        path: the file; it is made where there is none, and holds the name of its holder.

    Attributes:
        held: whether this object holds it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None

    @property
    def held(self) -> bool:
        return self._handle is not None

    def take(self) -> None:
        """Takes the lock. Raises `RunBusyError` naming the process that holds it."""
        try:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise atomic.explain(error, self.path) from None
        try:
            # The system drops the lock with the process, so what a dead one left in the file is no lock.
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(handle, 200).decode(errors="replace").strip() or "another process"
            os.close(handle)
            raise RunBusyError(f"{self.path.parent}: is being written by {holder}; wait for it or stop it") from None
        os.ftruncate(handle, 0)
        os.write(handle, f"pid {os.getpid()} on {socket.gethostname()}\n".encode())
        self._handle = handle

    def drop(self) -> None:
        """Gives the lock back."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
