"""Writes the pages of docs/reference that are made from the code; `make docs` runs it, a test compares."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from genprob import hookspecs, spec
from genprob_cli import app

REFERENCE = Path(__file__).with_name("reference")


def cli() -> str:
    """Every verb with its arguments, options and examples."""
    parts = [
        "# The command line",
        "",
        "Made by `make docs` from the code; do not edit.",
        "",
        "```",
        app.overview(),
        "```",
        "",
        app.SHARED.replace("--json", "`--json`"),
    ]
    for name, entries in app.verbs().items():
        if entries[0].module.startswith("genprob_cli."):
            parts += ["", *_verb(name, app.load(name))]
    return "\n".join(parts) + "\n"


def hooks() -> str:
    """The hook menu and the specs that hooks return."""
    parts = [
        "# Hooks and specs",
        "",
        "Made by `make docs` from the code; do not edit.",
        "",
        "A plugin is a distribution with an entry point of group `genprob` that names a light module of hooks. Each",
        'hook returns an iterable of frozen specs; a spec names its factory as `"module:attr"`, which is imported when',
        "it is used. A factory's keyword parameters are its options (`--set`); `*args` and `**kwargs` are refused.",
        "",
        "| hook | returns |",
        "|---|---|",
    ]
    menu = [(name, hook) for name, hook in vars(hookspecs).items() if name.startswith("genprob_")]
    for name, hook in menu:
        returned = inspect.signature(hook).return_annotation
        parts.append(f"| `{name}() -> {returned}` | {inspect.getdoc(hook)} |")
    for kind in (spec.ModelSpec, spec.InferenceSpec, spec.StrategySpec, spec.MetricSpec, spec.DatasetSpec):
        parts += ["", f"## {kind.__name__}", "", _listed(inspect.getdoc(kind) or ""), "", "```python"]
        parts += [f"{f.name}: {f.type}{_given(f)}" for f in dataclasses.fields(kind)]
        parts += ["```"]
    return "\n".join(parts) + "\n"


def _listed(docstring: str) -> str:
    """A docstring whose `Arguments:` are a list."""
    text, _, arguments = docstring.partition("Arguments:\n")
    items = [f"- `{name}`:{doc}" for name, _, doc in (line.strip().partition(":") for line in arguments.splitlines())]
    return text + "\n".join(items)


def _given(field: dataclasses.Field[Any]) -> str:
    return "" if field.default is dataclasses.MISSING else f" = {field.default!r}"


def _verb(name: str, verb: Callable[..., Any]) -> list[str]:
    parameters = [
        (parameter, *_annotated(parameter)) for parameter in inspect.signature(verb, eval_str=True).parameters.values()
    ]
    lines = [f"## genprob {name}", "", inspect.getdoc(verb) or "", "", "| | takes | default | |", "|---|---|---|---|"]
    for parameter, kind, info in parameters:
        positional = type(info).__name__ == "ArgumentInfo"
        word = (info.metavar or parameter.name.upper()) if positional else f"`{_option(info)}`"
        takes = "" if positional or kind is bool else (info.metavar or "")
        lines.append(f"| {_cell(word)} | {_cell(takes)} | {_default(parameter)} | {_cell(info.help)} |")
    return [*lines, "", "```", *getattr(verb, "examples", ()), "```"]


def _annotated(parameter: inspect.Parameter) -> tuple[Any, Any]:
    """The type and the typer information of a parameter."""
    assert get_origin(parameter.annotation) is Annotated, parameter
    kind, info, *_ = get_args(parameter.annotation)
    return kind, info


def _option(info: Any) -> str:
    """The name of an option; typer keeps the first one that it is told as if it were a default."""
    return next(name for name in (info.default, *info.param_decls) if str(name).startswith("--"))


def _default(parameter: inspect.Parameter) -> str:
    if parameter.default is inspect.Parameter.empty:
        return "required"
    return "" if parameter.default is None or parameter.default is False else f"`{parameter.default}`"


def _cell(text: str | None) -> str:
    return (text or "").replace("|", "\\|")


PAGES = {"cli.md": cli, "hooks.md": hooks}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page(), encoding="utf-8")
