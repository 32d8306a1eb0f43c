"""Statements: what a user says of single variables beforehand, in place of a whole schema."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from genprob.data import measure, support
from genprob.data.measure import Measure
from genprob.data.schema import ROLES, Variable
from genprob.data.support import Support
from genprob.errors import DataError, UsageError

_KEYS = ("support", "measure", "unit", "role")
_IGNORE = ("ignore", "ignored")


@dataclass(frozen=True)
class Statement:
    """What is known of one variable; None is left to be guessed from the data."""

    support: Support | None = None
    measure: Measure | None = None
    unit: str | None = None
    role: str = "observed"

    @property
    def ignored(self) -> bool:
        return self.role == "ignored"


def statements(partial: Mapping[str, Any]) -> dict[str, Statement]:
    """Reads a partial schema `{variable: what}`.

    What: a support (`"count"`, `"interval(0, 1)"`, a `Support`), a measure (`"cell(0.1)"`, a `Measure`), `"ignore"`,
    a `Variable`, or a mapping with keys support, measure, unit, role. Raises `UsageError` naming the variable.

    >>> statements({"n": "count", "id": "ignore"})["id"].ignored
    True
    """
    return {str(name): _statement(str(name), what) for name, what in partial.items()}


def advice(name: str, what: str) -> str:
    """How to say it of a variable, in Python and on the command line.

    >>> print(advice("n", "count"))
    schema={'n': 'count'}, or --support 'n=count'
    """
    option, text = ("--ignore", name) if what in _IGNORE else ("--support", f"{name}={what}")
    quoted = shlex.quote(text)
    return f"schema={{{name!r}: {what!r}}}, or {option} {quoted if quoted != text else repr(text)}"


def refuse(faults: Mapping[str, DataError]) -> None:
    """Raises what is wrong with variables, by name: the first fault in full, and how to do without all of them.

    >>> refuse({"id": DataError("t.csv: variable 'id' looks like an id"), "y": DataError("t.csv: 'y' is empty")})
    Traceback (most recent call last):
        ...
    genprob.errors.DataError: t.csv: variable 'id' looks like an id. Refused as well: 'y'; to do without all of them:
    schema={'id': 'ignore', 'y': 'ignore'}, or --ignore id --ignore y
    """
    if not faults:
        return
    first, *others = faults
    if not others:
        raise faults[first]
    spoken = ", ".join(f"{name!r}: 'ignore'" for name in faults)
    typed = " ".join(f"--ignore {shlex.quote(name)}" for name in faults)
    raise DataError(
        f"{faults[first]}. Refused as well: {', '.join(map(repr, others))}; to do without all of them: "
        f"schema={{{spoken}}}, or {typed}"
    )


def _statement(name: str, what: Any) -> Statement:
    if isinstance(what, Statement):
        return what
    if isinstance(what, Variable):
        return Statement(what.support, what.measure, what.unit, what.role)
    if isinstance(what, Support):
        return Statement(support=what)
    if isinstance(what, Measure):
        return Statement(measure=what)
    try:
        if isinstance(what, str):
            return _text(what)
        if isinstance(what, Mapping):
            return _mapping({str(key): value for key, value in what.items()})
    except UsageError as error:
        raise UsageError(f"schema: variable {name!r}: {error}") from None
    raise UsageError(f"schema: variable {name!r}: {what!r} is no support; write e.g. 'count' or 'interval(0, 1)'")


def _text(text: str) -> Statement:
    if text.strip() in _IGNORE:
        return Statement(role="ignored")
    if text.strip().startswith("cell"):
        return Statement(measure=measure.parse(text))
    try:
        return Statement(support=support.parse(text))
    except UsageError as error:
        raise UsageError(f"{error}, ignore, cell(delta)") from None


def _mapping(keys: dict[str, Any]) -> Statement:
    unknown = [key for key in keys if key not in _KEYS]
    if unknown:
        raise UsageError(f"unknown key {unknown[0]!r}; known: {', '.join(_KEYS)}")
    form, relative, role = keys.get("support"), keys.get("measure"), str(keys.get("role", "observed"))
    role = "ignored" if role in _IGNORE else role
    if role not in ROLES:
        raise UsageError(f"role {role!r} is not one of {', '.join(ROLES)}")
    return Statement(
        support.parse(form) if isinstance(form, str) else form,
        measure.parse(relative) if isinstance(relative, str) else relative,
        keys.get("unit"),
        role,
    )
