"""Pictures of a run beside its history: which there are, and the options that each takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from genprob.errors import UsageError
from genprob_cli import code_view, joint_view

TAKES = {**code_view.TAKES, **joint_view.TAKES}


def settled(kind: str | None, given: dict[str, Any]) -> dict[str, Any]:
    """The options of a picture; raises `UsageError` for one that it does not take."""
    takes = TAKES.get(kind or "", {})
    for name, value in given.items():
        if value not in (None, []) and name not in takes:
            kinds = " and ".join(k for k, of in TAKES.items() if name in of)
            raise UsageError(f"--{name} is an option of --kind {kinds}, not of {kind or 'the picture asked'}")
    return {name: default if given[name] in (None, []) else given[name] for name, default in takes.items()}


def draw_run(path: Path, kind: str, out: Path, options: dict[str, Any]) -> Path:
    """Draws a picture of the joint of a run, of its code or of itself."""
    import genprob

    joint = genprob.load(path)
    if kind in code_view.TAKES:
        return code_view.draw_code(joint, kind, out, options)
    return joint_view.draw_joint(joint, kind, path.name, out, options)
