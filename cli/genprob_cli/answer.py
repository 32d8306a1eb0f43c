"""What a verb returns: one document for machines and one view for people; nothing else goes to stdout."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any

from genprob.errors import GenprobError


@dataclass(frozen=True)
class Answer:
    """The result of a verb.

    Arguments:
        document: what `--json` prints.
        view: what a person reads: text, or anything that rich renders.
        error: a complaint that goes with the answer (an unreliable one under `--strict`); sets the exit code.
    """

    document: Mapping[str, Any]
    view: Any
    error: GenprobError | None = None


def write(answer: Answer, file: IO[str], as_json: bool) -> None:
    """Prints the document or the view."""
    if as_json:
        document = dict(answer.document)
        if answer.error is not None:
            document["error"] = _complaint(type(answer.error).__name__, str(answer.error), answer.error.exit_code)
        _print(document, file)
    elif isinstance(answer.view, str):
        print(answer.view, file=file, flush=True)
    else:
        from genprob_cli.render import show

        show(answer.view, file)


def write_error(kind: str, message: str, exit_code: int, file: IO[str]) -> None:
    """The one document of a command that failed."""
    _print({"error": _complaint(kind, message, exit_code)}, file)


def plain(value: Any) -> Any:
    """The value in JSON's terms: NaN and infinities are null, arrays are lists, other things their text."""
    if isinstance(value, Mapping):
        return {str(key): plain(member) for key, member in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(member) for member in value]
    if hasattr(value, "tolist"):  # numpy and xarray
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def _complaint(kind: str, message: str, exit_code: int) -> dict[str, Any]:
    return {"type": kind, "message": " ".join(message.split()), "exit_code": exit_code}


def _print(document: Mapping[str, Any], file: IO[str]) -> None:
    print(json.dumps(plain(document), ensure_ascii=False, allow_nan=False, indent=2), file=file, flush=True)
