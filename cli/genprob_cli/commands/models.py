"""List the model families, or the options of one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any

import typer

from genprob_cli.answer import Answer
from genprob_cli.examples import examples

_ROWS = 5000
"""Rows for which a model is asked what it recommends."""


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
    recipe = _recipe(spec.factory)
    inferences = {
        inference: _options(find("inference", inference).factory, recipe.get(inference, {}))
        for inference in spec.inferences
    }
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


def _options(factory: str, recipe: Mapping[str, Any] = MappingProxyType({})) -> list[dict[str, Any]]:
    """The options of a factory, and what the model in question takes where nothing is said."""
    from genprob.options import REQUIRED, options
    from genprob.plugins import resolve

    return [
        {
            "name": option.name,
            "type": option.type,
            "required": option.default is REQUIRED,
            "default": None if option.default is REQUIRED else option.default,
            "doc": option.doc,
            **({"recipe": recipe[option.name]} if option.name in recipe else {}),
        }
        for option in options(resolve(factory))
    ]


def _recipe(factory: str) -> Mapping[str, Mapping[str, Any]]:
    """What the model itself takes for options of its inferences, at `_ROWS` rows; empty where it leaves them alone."""
    import numpy as np
    import torch

    from genprob.data.batch import as_batch
    from genprob.data.readers import read
    from genprob.data.schema import Schema, Variable
    from genprob.data.support import Real
    from genprob.data.table import Table
    from genprob.engine.capabilities import Recommends
    from genprob.engine.randomness import Randomness
    from genprob.engine.scope import running
    from genprob.errors import GenprobError
    from genprob.plugins import resolve

    made = resolve(factory)
    if not isinstance(made, type) or not hasattr(made, "recipe"):
        return {}
    schema = Schema((Variable("x", Real()),))
    rows = {"x": np.random.default_rng(0).normal(size=_ROWS)}
    try:
        with running(Randomness(0, torch.device("cpu"))):
            model = made(schema)
            model.prepare(as_batch(Table.from_dataset(schema, read(rows)), dtype=model.precision), seed=0)
    except GenprobError:  # it takes no single number, or has options that must be said
        return {}
    return model.recipe if isinstance(model, Recommends) else {}


def _table(options: list[dict[str, Any]], title: str) -> Any:
    from genprob_cli.render import table

    if not options:
        return f"{title}: there are no options"
    rows = [(o["name"], o["type"], "required" if o["required"] else _default(o["default"]), o["doc"]) for o in options]
    if any("recipe" in o for o in options):
        rows = [
            (*row[:3], _default(o["recipe"]) if "recipe" in o else "", row[3])
            for row, o in zip(rows, options, strict=True)
        ]
        return table(("option", "takes", "default", f"here, of {_ROWS} rows", ""), rows, title)
    return table(("option", "takes", "default", ""), rows, title)


def _default(value: Any) -> str:
    """A default as `--set` would take it."""
    if isinstance(value, (tuple, list)):
        return ",".join(map(str, value))
    return "none" if value is None else str(value)
