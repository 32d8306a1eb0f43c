"""How a result came to be: versions, machine, time, arguments and the digests of what it was made from."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from genprob.data.schema import Schema
from genprob.results.vocabulary import schema_digest

_LIBRARIES = ("genprob", "torch", "pyro-ppl", "numpy", "xarray", "h5py")


def provenance(
    arguments: Mapping[str, Any] | None = None,
    seed: int | None = None,
    schema: Schema | None = None,
    run: str | Path | None = None,
    manifest: str | None = None,
) -> dict[str, Any]:
    """A JSON object; no library is imported for it.

    Arguments:
        arguments: of the call or the command.
        seed: of the call.
        schema: its digest is kept.
        run: the run folder; only the part below the working directory, or the folder's name, is kept.
        manifest: the digest of the run's manifest.

    >>> sorted(provenance(seed=1))
    ['machine', 'python', 'seed', 'time', 'versions']
    """
    record: dict[str, Any] = {
        "versions": {name: version for name in _LIBRARIES if (version := _version(name)) is not None},
        "python": platform.python_version(),
        "machine": f"{sys.platform} {platform.machine()}",
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if arguments is not None:
        record["arguments"] = {name: _plain(value) for name, value in arguments.items()}
    if seed is not None:
        record["seed"] = seed
    if schema is not None:
        record["schema"] = schema_digest(schema)
    if run is not None:
        record["run"] = _relative(Path(run))
    if manifest is not None:
        record["manifest"] = manifest
    return record


@cache
def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _relative(path: Path) -> str:
    try:
        return path.absolute().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return path.name


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, (str, int, float, bool)) else repr(value)[:1000]
