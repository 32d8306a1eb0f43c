"""The schema as one JSON text, so that a result can be read without the run that made it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from genprob.data import measure, support
from genprob.data.schema import Schema, Variable
from genprob.data.support import Categorical


def schema_text(schema: Schema) -> str:
    """Strict JSON: the sample dimension and the variables with support and measure in their text forms.

    Labels along dims are left out: a result holds them as its coordinates.

    >>> from genprob.data.support import Real
    >>> text = schema_text(Schema((Variable("x", Real()),)))
    >>> parse_schema(text)["x"].support
    Real()
    """
    return json.dumps({"sample_dim": schema.sample_dim, "variables": [_entry(v) for v in schema]}, ensure_ascii=False)


def parse_schema(text: str) -> Schema:
    """The schema of `schema_text`."""
    document = json.loads(text)
    return Schema(tuple(_variable(entry) for entry in document["variables"]), document["sample_dim"])


def schema_digest(schema: Schema) -> str:
    """sha256 of `schema_text`: equal for equal schemas."""
    return hashlib.sha256(schema_text(schema).encode()).hexdigest()


def plain_names(schema: Schema) -> dict[str, str]:
    """Variable -> the name it bears in a result: its own, unless a file cannot hold it (`km/h` becomes `km_h`)."""
    taken = {v.name for v in schema if "/" not in v.name}
    out = {}
    for variable in schema:
        name = variable.name
        if "/" in name:
            name = name.replace("/", "_")
            while name in taken:
                name += "_"
            taken.add(name)
        out[variable.name] = name
    return out


def _entry(variable: Variable) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": variable.name, "support": variable.support.text()}
    entry["measure"] = variable.measure.text() if variable.measure else None
    if isinstance(variable.support, Categorical):
        entry["levels"] = list(variable.support.levels)
    if variable.dims:
        entry |= {"dims": list(variable.dims), "shape": list(variable.shape)}
    if variable.unit is not None:
        entry["unit"] = variable.unit
    if variable.role != "observed":
        entry["role"] = variable.role
    return entry


def _variable(entry: Mapping[str, Any]) -> Variable:
    # Levels are taken from their list: the text form trims blanks.
    kind = support.parse(entry["support"])
    if isinstance(kind, Categorical):
        kind = Categorical(tuple(entry["levels"]), kind.ordered)
    return Variable(
        name=entry["name"],
        support=kind,
        measure=measure.parse(entry["measure"]),
        dims=tuple(entry.get("dims", ())),
        shape=tuple(entry.get("shape", ())),
        unit=entry.get("unit"),
        role=entry.get("role", "observed"),
    )
