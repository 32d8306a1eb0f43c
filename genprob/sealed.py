"""JSON documents that carry the digest of their own content."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from genprob.errors import CorruptFileError

_BLOCK = 1 << 20


def dumps(document: dict[str, Any]) -> str:
    """The one text of a document, with its digest under `digest`; strict JSON (no NaN)."""
    body = {key: value for key, value in document.items() if key != "digest"}
    digest = hashlib.sha256(_canonical(body).encode()).hexdigest()
    return _canonical({**body, "digest": digest}) + "\n"


def read(path: Path) -> dict[str, Any]:
    """The document at `path`, without its digest. Raises `CorruptFileError` if a single byte was altered."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise CorruptFileError(f"{path}: missing") from None
    except OSError as error:
        raise CorruptFileError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        document = json.loads(raw.decode())
        whole = isinstance(document, dict) and dumps(document).encode() == raw
    except (ValueError, RecursionError):
        whole = False
    if not whole:
        raise CorruptFileError(f"{path}: truncated or altered (its digest does not match)")
    del document["digest"]
    return document


def fingerprint(path: Path) -> dict[str, Any]:
    """`{"sha256", "size"}` of a file, read in blocks."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            size += len(block)
    return {"sha256": digest.hexdigest(), "size": size}


def check(path: Path, expected: dict[str, Any]) -> None:
    """`CorruptFileError` naming `path` unless its size and sha256 are the expected ones."""
    try:
        size = path.stat().st_size
        if size != expected["size"]:
            raise CorruptFileError(f"{path}: {size:,} bytes instead of {expected['size']:,}: truncated or altered")
        found = fingerprint(path)
    except FileNotFoundError:
        raise CorruptFileError(f"{path}: missing") from None
    except OSError as error:
        raise CorruptFileError(f"{path}: cannot be read ({error.strerror})") from None
    if found["sha256"] != expected["sha256"]:
        raise CorruptFileError(f"{path}: altered since it was written (its sha256 differs)")


def _canonical(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
