"""The schema as an editable TOML file: one table per variable, in order, with why it was guessed as a comment."""

from __future__ import annotations

import itertools
import json
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from genprob.data import measure, support
from genprob.data.coordinates import Label
from genprob.data.schema import Schema, Variable
from genprob.data.statement import Statement, statements
from genprob.errors import UsageError

_KEYS = ("support", "measure", "unit", "dims", "shape", "role")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_SUPPORTS = "real, positive, interval(lo, hi), binary, categorical(a,b,...), ordinal(low,...,high), count"
_HEAD = f"""\
# The variables of a joint, in order. Edit and give it back: genprob fit DATA --schema THIS_FILE
# support: {_SUPPORTS}
# measure: counting (discrete supports), lebesgue (true reals), cell(delta) (reals rounded to multiples of delta)
# role: observed (the default), ignored (left out of the joint)
"""


def to_toml(schema: Schema) -> str:
    """The schema as text; `from_toml` reads it back exactly.

    >>> from genprob.data.support import Positive
    >>> text = to_toml(Schema((Variable("x", Positive(), note="guessed: above zero and skewed"),)))
    >>> print(text[text.index("sample_dim"):])
    sample_dim = "row"
    <BLANKLINE>
    [variable.x]
    # guessed: above zero and skewed
    support = "positive"
    measure = "lebesgue"
    <BLANKLINE>
    """
    parts = [f"{_HEAD}\nsample_dim = {_string(schema.sample_dim)}\n"]
    for v in schema:
        lines = [f"[variable.{_key(v.name)}]"]
        if v.note:
            lines.append(f"# {_CONTROL.sub(' ', v.note).strip()}")
        lines.append(f"support = {_string(v.support.text())}")
        assert v.measure is not None
        lines.append(f"measure = {_string(v.measure.text())}")
        if v.unit is not None:
            lines.append(f"unit = {_string(v.unit)}")
        if v.dims:
            lines.append(f"dims = [{', '.join(map(_string, v.dims))}]")
            lines.append(f"shape = [{', '.join(map(str, v.shape))}]")
        if v.role != "observed":
            lines.append(f"role = {_string(v.role)}")
        parts.append("\n".join(lines) + "\n")
    if schema.coords:
        parts.append("[coords]\n" + "".join(f"{_key(dim)} = [{_listed(labels)}]\n" for dim, labels in schema.coords))
    return "\n".join(parts)


def from_toml(text: str, source: str = "schema.toml") -> Schema:
    """Reads the text form. Raises `UsageError` naming the source, the variable and the key at fault."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{source}: is not valid TOML: {error}") from None
    unknown = [key for key in document if key not in ("sample_dim", "variable", "coords")]
    if unknown:
        raise UsageError(f"{source}: unknown key {unknown[0]!r}; known: sample_dim, [variable.NAME], [coords]")
    sample_dim, tables = document.get("sample_dim", "row"), document.get("variable", {})
    if not isinstance(sample_dim, str) or not sample_dim:
        raise UsageError(f"{source}: sample_dim: {sample_dim!r} is no name")
    if not isinstance(tables, dict) or not tables:
        raise UsageError(f"{source}: names no variable; each has a table [variable.NAME]")
    notes = _notes(text)
    variables = tuple(_variable(name, table, notes.get(name), source) for name, table in tables.items())
    try:
        return Schema(variables, sample_dim, _coords(document.get("coords", {}), source))
    except UsageError as error:
        raise UsageError(f"{source}: {error}") from None


def read_schema(source: Any) -> Schema | dict[str, Statement]:
    """A `Schema`, the file that holds one, or statements on some variables (`{"n": "count"}`), whichever is given.

    Raises `UsageError` naming file, variable and key.
    """
    if isinstance(source, Schema):
        return source
    if isinstance(source, Mapping):
        return statements(source)
    if not isinstance(source, (str, os.PathLike)):
        raise UsageError(
            f"schema={source!r}: give a Schema, a schema file, or a mapping such as {{'n': 'count', 'id': 'ignore'}}"
        )
    path = Path(source)
    try:
        return from_toml(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        raise UsageError(f"{path}: no such schema file") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: is not UTF-8 text; a schema file is TOML") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None


def _variable(name: str, table: Any, note: str | None, source: str) -> Variable:
    where = f"{source}: variable {name!r}"
    if not isinstance(table, dict):
        raise UsageError(f"{where}: is {table!r}; write a table [variable.{name}] with support = ...")
    unknown = [key for key in table if key not in _KEYS]
    if unknown:
        raise UsageError(f"{where}: unknown key {unknown[0]!r}; known: {', '.join(_KEYS)}")
    if table.get("role") == "ignored":
        table = {"support": "real", **table}  # nobody will look at it
    if "support" not in table:
        raise UsageError(f"{where}: key 'support' is missing")
    for key in ("support", "measure", "unit", "role"):
        if key in table and not isinstance(table[key], str):
            raise UsageError(f"{where}: key {key!r}: {table[key]!r} is not a string")
    dims, shape = table.get("dims", []), table.get("shape", [])
    if not _all(dims, str):
        raise UsageError(f"{where}: key 'dims': {dims!r} is not a list of names")
    if not _all(shape, int) or any(size < 1 for size in shape):
        raise UsageError(f"{where}: key 'shape': {shape!r} is not a list of positive integers")
    try:
        key = "support"
        form = support.parse(table["support"])
        key = "measure"
        relative = measure.parse(table["measure"]) if "measure" in table else None
    except UsageError as error:
        raise UsageError(f"{where}: key {key!r}: {error}") from None
    try:
        return Variable(
            name, form, relative, tuple(dims), tuple(shape), table.get("unit"), table.get("role", "observed"), note
        )
    except UsageError as error:
        raise UsageError(f"{source}: {error}") from None


def _coords(table: Any, source: str) -> tuple[tuple[str, tuple[Label, ...]], ...]:
    if not isinstance(table, dict):
        raise UsageError(f"{source}: coords is {table!r}; write a table [coords] with DIM = [labels]")
    for dim, labels in table.items():
        if not any(_all(labels, kind) for kind in (int, float, str, datetime)) or not labels:
            raise UsageError(f"{source}: coords: {dim!r}: {labels!r} is not a list of labels of one kind")
    return tuple((dim, tuple(labels)) for dim, labels in table.items())


def _all(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(item, kind) and not isinstance(item, bool) for item in value)


def _notes(text: str) -> dict[str, str]:
    """The comment line right below each variable's header."""
    notes: dict[str, str] = {}
    for header, below in itertools.pairwise(text.split("\n")):
        if header.lstrip().startswith("[variable.") and below.startswith("#"):
            try:
                (name,) = tomllib.loads(header)["variable"]
            except (tomllib.TOMLDecodeError, KeyError, ValueError):
                continue
            notes[name] = below[1:].strip()
    return notes


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _basic(name)


def _listed(labels: Iterable[Label]) -> str:
    return ", ".join(
        _string(x) if isinstance(x, str) else x.isoformat() if isinstance(x, datetime) else repr(x) for x in labels
    )


def _string(text: str) -> str:
    """A TOML string: literal where that spares backslashes, else basic."""
    literal = ('"' in text or "\\" in text) and "'" not in text and not _CONTROL.search(text)
    return f"'{text}'" if literal else _basic(text)


def _basic(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
