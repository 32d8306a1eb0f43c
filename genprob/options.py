"""Options: the parameters of a factory, read from its signature, and their values read from text."""

from __future__ import annotations

import inspect
import math
import re
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from genprob.errors import PluginError, UsageError
from genprob.plugins import near, resolve

REQUIRED: Any = inspect.Parameter.empty
_TRUE, _FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}


@dataclass(frozen=True)
class Option:
    """One parameter of a factory: its name, annotation, default (`REQUIRED` where there is none) and line of doc."""

    name: str
    annotation: Any
    default: Any
    doc: str

    @property
    def type(self) -> str:
        """What it takes, in words: `"int"`, `"int or none"`, `"ints, e.g. 64,64"`."""
        return _words(self.annotation)


def options(factory: Callable[..., Any]) -> list[Option]:
    """The options of a factory: every parameter but a first positional one without default (the schema, the model).

    Raises `PluginError` for `*args` and `**kwargs`, which nobody could list.

    >>> def family(schema, *, latent: int = 4): ...
    >>> [(option.name, option.type, option.default) for option in options(family)]
    [('latent', 'int', 4)]
    """
    function = factory.__init__ if inspect.isclass(factory) else factory
    if function is object.__init__:
        return []
    parameters = list(inspect.signature(function).parameters.values())
    if inspect.isclass(factory):
        parameters = parameters[1:]
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise PluginError(
                f"{_name(factory)} takes {str(parameter).partition(':')[0]}: a factory's signature is its "
                "configuration, so name every parameter"
            )
    if parameters and parameters[0].kind != inspect.Parameter.KEYWORD_ONLY and parameters[0].default is REQUIRED:
        parameters = parameters[1:]
    docs = _docs(inspect.getdoc(factory) or "") | _docs(inspect.getdoc(function) or "")
    scope = getattr(inspect.unwrap(function), "__globals__", {})
    return [Option(p.name, _annotation(p.annotation, scope), p.default, docs.get(p.name, "")) for p in parameters]


def pick(factory: Callable[..., Any], name: str, owner: str = "") -> Option:
    """The option of that name; an unknown one is a `UsageError` with the nearest names.

    Arguments:
        factory: whose options there are.
        name: of the one that is wanted.
        owner: what the user calls the factory, e.g. `model 'mixture'`; by default its path.
    """
    known = {option.name: option for option in options(factory)}
    if name not in known:
        hint = near(name, known) if known else "it has no options"
        raise UsageError(f"{owner or _name(factory)} has no option {name!r}; {hint}")
    return known[name]


def convert(option: Option, text: str) -> Any:
    """The value that a text stands for, by the option's annotation.

    Raises `UsageError` naming the option, the text and what is expected.

    >>> convert(Option("hidden", tuple[int, ...], (64, 64), ""), "32,16")
    (32, 16)
    """
    value = _read(option.annotation, text.strip())
    if value is _NOT:
        raise UsageError(f"option {option.name}={text!r}: expected {option.type}")
    return value


_NOT: Any = object()


def _read(annotation: Any, text: str) -> Any:
    """The value, or `_NOT` where the text is not of that type."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        # The most specific member that fits: "3" for int | str is a number.
        readings = (_read(member, text) for member in sorted(arguments, key=_breadth))
        return next((value for value in readings if value is not _NOT), _NOT)
    if annotation in (None, types.NoneType):
        return None if text.lower() in ("none", "null", "") else _NOT
    if origin is Literal:
        return next((value for value in arguments if str(value).lower() == text.lower()), _NOT)
    if annotation is bool:
        return text.lower() in _TRUE if text.lower() in _TRUE | _FALSE else _NOT
    if annotation is int:
        number = _read(float, text)
        if number is _NOT or not math.isfinite(number) or number != int(number):
            return _NOT
        return int(text) if re.fullmatch(r"[+-]?\d+", text) else int(number)
    if annotation is float:
        try:
            number = float(text)
        except ValueError:
            return _NOT
        return _NOT if math.isnan(number) else number
    if _sequence(annotation):
        return _read_sequence(annotation, text)
    if _reference(annotation):
        return resolve(text) if ":" in text else _NOT
    return text


def _read_sequence(annotation: Any, text: str) -> Any:
    origin, arguments = get_origin(annotation) or annotation, get_args(annotation)
    inner = text[1:-1] if text[:1] + text[-1:] in ("()", "[]") else text
    parts = [part.strip() for part in inner.split(",") if part.strip()]
    fixed = origin is tuple and arguments and arguments[-1] is not Ellipsis
    if fixed and len(parts) != len(arguments):
        return _NOT
    members = arguments if fixed else (arguments[:1] or (str,)) * len(parts)
    values = [_read(member, part) for member, part in zip(members, parts, strict=True)]
    if any(value is _NOT for value in values):
        return _NOT
    return list(values) if origin is list else tuple(values)


def _sequence(annotation: Any) -> bool:
    origin = get_origin(annotation) or annotation
    return inspect.isclass(origin) and origin is not str and issubclass(origin, (tuple, list, Sequence))


def _reference(annotation: Any) -> bool:
    """True for parameters that are themselves factories: a class or a callable."""
    return (get_origin(annotation) or annotation) in (type, Callable)


def _breadth(annotation: Any) -> int:
    """Narrow types first when a union is tried; numbers before truth values, both of which read "1"."""
    order = (types.NoneType, int, float, bool)
    if annotation in order:
        return order.index(annotation)
    return 9 if annotation is str else 5


def _words(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join(_words(member) for member in sorted(arguments, key=_breadth, reverse=True))
    if annotation in (None, types.NoneType):
        return "none"
    if origin is Literal:
        return " or ".join(map(str, arguments))
    if annotation is bool:
        return "true or false"
    if _sequence(annotation):
        words = [_words(a) for a in arguments if a is not Ellipsis] or ["text"]
        if origin is tuple and arguments[-1] is not Ellipsis:
            return ", ".join(words)
        return f"{words[0]}s separated by commas"
    if _reference(annotation):
        return "module:attr"
    if annotation is str or not inspect.isclass(annotation):
        return "text"
    return annotation.__name__


def _annotation(annotation: Any, scope: dict[str, Any]) -> Any:
    """The annotation as an object; text that names what only a type checker imports stands for any text."""
    if annotation is REQUIRED:
        return str
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, scope)  # what typing.get_type_hints does, one parameter at a time
    except Exception:
        return str


def _docs(text: str) -> dict[str, str]:
    """What the `Arguments:` section of a docstring says of each name."""
    _, _, section = text.partition("Arguments:\n")
    out: dict[str, str] = {}
    name, margin = "", None
    for line in section.splitlines():
        indent = len(line) - len(line.lstrip())
        if not line.strip() or not indent:
            break
        margin = margin or indent
        if indent == margin:
            name, _, line = line.partition(":")
        out[name.strip()] = f"{out.get(name.strip(), '')} {line.strip()}".strip()
    return out


def _name(factory: Callable[..., Any]) -> str:
    return f"{factory.__module__}:{factory.__qualname__}"
