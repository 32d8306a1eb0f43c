"""List the model families, or the options of one."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from genprob_cli.answer import Answer
from genprob_cli.examples import examples


@examples("genprob models", "genprob models mixture", "genprob models mixture --json")
def models(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="the model whose options to print")] = None,
) -> Answer:
    """List the model families, or the options of one."""
    return _listing() if name is None else _one(name)


def _listing() -> Answer:
    from genprob.plugins import specs
    from genprob.spec import ModelSpec
    from genprob_cli.render import table

    found = [(spec, owner) for spec, owner in specs("model") if isinstance(spec, ModelSpec)]
    document = {
        "models": [
            {
                "name": spec.name,
                "distribution": owner,
                "inferences": spec.inferences,
                "summary": spec.summary,
                "reference": spec.reference,
            }
            for spec, owner in found
        ]
    }
    rows = [(spec.name, owner, ", ".join(spec.inferences), spec.summary) for spec, owner in found]
    return Answer(document, table(("model", "from", "inferences", ""), rows))


def _one(name: str) -> Answer:
    from genprob.plugins import find
    from genprob_cli.render import stack

    spec = find("model", name)
    own = _options(spec.factory)
    inferences = {inference: _options(find("inference", inference).factory) for inference in spec.inferences}
    document = {
        "name": spec.name,
        "factory": spec.factory,
        "summary": spec.summary,
        "reference": spec.reference,
        "options": own,
        "inferences": inferences,
    }
    parts = [
        f"{spec.name}: {spec.summary}",
        spec.reference or None,
        "",
        _table(own, "--set OPTION=VALUE"),
        *(
            part
            for inference, options in inferences.items()
            for part in ("", _table(options, f"--inference {inference} --set inference.OPTION=VALUE"))
        ),
    ]
    return Answer(document, stack(*parts))


def _options(factory: str) -> list[dict[str, Any]]:
    from genprob.options import REQUIRED, options
    from genprob.plugins import resolve

    return [
        {
            "name": option.name,
            "type": option.type,
            "required": option.default is REQUIRED,
            "default": None if option.default is REQUIRED else option.default,
            "doc": option.doc,
        }
        for option in options(resolve(factory))
    ]


def _table(options: list[dict[str, Any]], title: str) -> Any:
    from genprob_cli.render import table

    if not options:
        return f"{title}: there are no options"
    rows = [(o["name"], o["type"], "required" if o["required"] else _default(o["default"]), o["doc"]) for o in options]
    return table(("option", "takes", "default", ""), rows, title)


def _default(value: Any) -> str:
    """A default as `--set` would take it."""
    if isinstance(value, (tuple, list)):
        return ",".join(map(str, value))
    return "none" if value is None else str(value)
