"""Writing a file whole or not at all.

A file is written under a unique temporary name in its own folder, flushed to the disk, and put in place by one
rename; a process killed at any moment leaves either the old file or the new one. A full disk is a `ResourceError`.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from genprob.errors import GenprobError, ResourceError, UsageError

_SHORTAGE = (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM)
# Libraries in C and Rust report the number in their message only.
_SHORTAGE_TEXT = re.compile(r"(?:errno = |os error )(?:28|122|12)\b|no space left|disk quota", re.IGNORECASE)
_MEMORY_TEXT = re.compile(r"can't allocate memory|not enough memory|unable to allocate", re.IGNORECASE)
_NEARLY_FULL = 64 * 1024


def write(path: str | Path, content: bytes | str | Callable[[Path], object], size: int | None = None) -> Path:
    """Writes `content` to `path` whole or not at all.

    Arguments:
        path: where; its folder must exist.
        content: bytes, text (UTF-8), or a function that writes the file at the path it is given.
        size: bytes the function will need, if known; free space is checked beforehand.

    Raises `ResourceError` when the disk or the quota is full, `UsageError` where the folder cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(Path(folder) / "a.txt", "whole").read_text()
    'whole'
    """
    if isinstance(content, str):
        content = content.encode()
    data = content
    with replacing(path, len(data) if isinstance(data, bytes) else size) as temporary:
        if isinstance(data, bytes):
            temporary.write_bytes(data)
        else:
            data(temporary)
    return Path(path)


@contextlib.contextmanager
def replacing(path: str | Path, size: int | None = None) -> Iterator[Path]:
    """Yields a temporary path (a file or a folder may be made there) that takes the place of `path` at the end.

    On any exception the temporary is removed and what was at `path` is untouched. Raises as `write` does.
    """
    path = Path(path)
    temporary = temporary_name(path)
    try:
        if size is not None:
            require_space(path, size)
        yield temporary
        sync(temporary)
        put(temporary, path)
    except BaseException as error:
        remove(temporary)
        if not isinstance(error, Exception) or isinstance(error, GenprobError):
            raise
        explained = explain(error, path, size)
        if explained is error:
            raise
        raise explained from error


def temporary_name(path: Path) -> Path:
    """A name nobody else uses, in the same folder, hidden."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")


def require_space(path: Path, size: int) -> None:
    """`ResourceError` if the disk of `path` has not `size` bytes free."""
    free = free_space(path)
    if free is not None and size > free:
        raise _full(path, size, free)


def free_space(path: Path) -> int | None:
    """Bytes free on the disk of the folder of `path`; None where that cannot be told."""
    try:
        return shutil.disk_usage(path.parent).free
    except OSError:
        return None


def sync(path: Path) -> None:
    """Flushes a file, or a folder with all that is in it, to the disk."""
    if path.is_dir():
        for inner in path.iterdir():
            sync(inner)
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def put(temporary: Path, path: Path) -> None:
    """Renames `temporary` to `path` and flushes the folder; what was at `path` is removed."""
    if temporary.is_dir() and path.is_dir():
        _exchange(temporary, path)
        _sync_entry(path.parent)
        remove(temporary)
    else:
        os.replace(temporary, path)
        _sync_entry(path.parent)


def remove(path: Path) -> None:
    """Removes a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def explain(error: Exception, path: Path, size: int | None = None) -> Exception:
    """The exception a user should see for a failed write of `path`: the error itself where it says enough."""
    number = getattr(error, "errno", None)
    free = free_space(path)
    memory = isinstance(error, MemoryError) or number == errno.ENOMEM or bool(_MEMORY_TEXT.search(str(error)))
    shortage = memory or number in _SHORTAGE or bool(_SHORTAGE_TEXT.search(str(error)))
    # HDF5 reports a full disk as an unrelated RuntimeError: the disk itself is asked.
    if not shortage and isinstance(error, (OSError, RuntimeError)) and number is None:
        shortage = free is not None and free < _NEARLY_FULL
    if shortage:
        return _full(path, size, free, memory)
    if isinstance(error, OSError) and number is not None:
        return UsageError(f"{path}: cannot be written ({os.strerror(number)}); choose another place")
    return error


def _full(path: Path, size: int | None, free: int | None, memory: bool = False) -> ResourceError:
    need = "" if size is None else f"; {size:,} bytes are needed"
    have = "" if free is None else f"{';' if size is None else ','} {free:,} are free on its disk"
    what = "memory ran out while it was written" if memory else "the disk is full"
    return ResourceError(f"{path}: {what}{need}{have}; nothing was changed, make room and try again")


def _exchange(one: Path, other: Path) -> None:
    """Swaps two folders: in one step where the system can (Linux), else in three renames."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    if renameat2 is not None and renameat2(-100, os.fsencode(one), -100, os.fsencode(other), 2) == 0:
        return
    aside = temporary_name(one)
    os.replace(other, aside)
    os.replace(one, other)
    os.replace(aside, one)


def _sync_entry(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
