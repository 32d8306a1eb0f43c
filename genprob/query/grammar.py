"""The text form of evidence: `x=1.2`, `w=0.5..0.6`, `w=..5`, `g in a,b`, `v=3.0+-0.2`, and its JSON counterpart.

The longest variable name that fits wins (names may hold spaces, equals signs or the word "in"); then the variable's
support decides how the rest is read, so that a label may hold dots or signs that would mean a range elsewhere.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn, cast

from genprob.data.dates import is_date, to_numbers
from genprob.data.schema import Schema, Variable
from genprob.data.support import Binary, Categorical, Count
from genprob.errors import UsageError
from genprob.plugins import near
from genprob.query.evidence import Equals, Evidence, Masked, OneOf, Soft, Within

_OPERATOR = re.compile(r"\s*=\s*(?P<value>.*)|\s+in\s+(?P<list>.*)", re.DOTALL)
_SOFT = re.compile(r"(?P<value>.+?)\s*(?:\+-|\+/-|±)\s*(?P<sd>.+)")
_BINARY = {"0": 0, "1": 1, "false": 0, "true": 1, "no": 0, "yes": 1}


def parse_given(schema: Schema, text: str) -> tuple[str, Evidence]:
    """The variable and the evidence that one `--given` text names.

    Raises `UsageError` naming the text, what is wrong with it, and examples that fit the variable's support.

    >>> from genprob.data.support import Categorical, Real
    >>> schema = Schema((Variable("w", Real()), Variable("g", Categorical(("a", "b", "c, d")))))
    >>> parse_given(schema, "w=-0.5..0.6")
    ('w', Within(lo=-0.5, hi=0.6))
    >>> parse_given(schema, 'g in a,"c, d"')
    ('g', OneOf(values=('a', 'c, d')))
    """
    variable, rest, several = _split(schema, text)
    fail = _complaint(variable, f"given {text!r}")
    if variable.shape:
        fail(f"variable {variable.name!r} is an array with dims {', '.join(variable.dims)}")
    if not rest.strip():
        fail("there is no value")
    read = _list if several else _value
    return variable.name, read(variable, rest.strip(), fail)


def parse_given_json(schema: Schema, document: Mapping[str, Any]) -> dict[str, Evidence]:
    """The evidence of a JSON document that maps names to values or to forms of evidence.

    Forms: a plain value, `{"within": [lo, hi]}` (null is open), `{"one_of": [...]}`, `{"value": v, "sd": s}`,
    `{"likelihood": {label: weight}}`, `{"array": [...], "mask": [...]}`. Raises `UsageError`.

    >>> from genprob.data.support import Real
    >>> parse_given_json(Schema((Variable("w", Real()),)), {"w": {"within": [0.5, None]}})
    {'w': Within(lo=0.5, hi=None)}
    """
    return {name: _from_json(schema[name], value) for name, value in document.items()}


def read_given(schema: Schema, texts: Iterable[str] = (), file: Path | None = None) -> dict[str, Evidence]:
    """All the evidence of one question: `--given` texts and a `--given-json` file; no variable twice."""
    out: dict[str, Evidence] = {}
    if file is not None:
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"given-json {file}: can not be read: {error.strerror}") from error
        except ValueError as error:
            raise UsageError(f"given-json {file}: is not JSON: {error}") from error
        if not isinstance(document, dict):
            raise UsageError(f'given-json {file}: expected one object such as {{"x": 1.2}}')
        out = parse_given_json(schema, cast("dict[str, Any]", document))
    for text in texts:
        name, evidence = parse_given(schema, text)
        if name in out:
            raise UsageError(f"given {text!r}: {name!r} is given twice; say it once")
        out[name] = evidence
    return out


def _split(schema: Schema, text: str) -> tuple[Variable, str, bool]:
    """The variable, the text after the operator, and whether the operator was `in`."""
    text = text.lstrip()
    for name in sorted(schema.names, key=len, reverse=True):
        if text.startswith(name):
            match = _OPERATOR.fullmatch(text[len(name) :])
            if match:
                return schema[name], match["value"] or match["list"] or "", match["list"] is not None
    if text.strip() in schema:
        _complaint(schema[text.strip()], f"given {text!r}")("there is no value")
    guess = re.split(r"=|\s+in\s", text, maxsplit=1)[0].strip()
    raise UsageError(f"given {text!r}: unknown variable {guess!r}; {near(guess, schema.names)}")


def _value(variable: Variable, text: str, fail: Callable[[str], NoReturn]) -> Evidence:
    """What follows the equals sign."""
    if isinstance(variable.support, Categorical):
        if _is_label_range(variable.support, text):
            return _label_range(variable, variable.support, text, fail)
        return Equals(_label(variable, text, fail))
    if isinstance(variable.support, Binary):
        return Equals(_number(variable, text, fail))
    if ".." in text:
        return _range(variable, text, fail)
    soft = _SOFT.fullmatch(text)
    if soft:
        sd = _float(soft["sd"])
        if sd is None or not 0 < sd < math.inf:
            fail(f"the error {soft['sd']!r} is not a positive number")
        return Soft(float(_coordinate(variable, soft["value"], fail)), sd=sd)
    return Equals(_number(variable, text, fail))


def _list(variable: Variable, text: str, fail: Callable[[str], NoReturn]) -> Evidence:
    """What follows `in`: values separated by commas, or a range."""
    if isinstance(variable.support, Categorical):
        if _is_label_range(variable.support, text):
            return _label_range(variable, variable.support, text, fail)
        return OneOf(*(_label(variable, label, fail, quoted=False) for label in _fields(text, fail)))
    if ".." in text and not isinstance(variable.support, Binary):
        return _range(variable, text, fail)
    return OneOf(*(_number(variable, part, fail) for part in _fields(text, fail)))


def _fields(text: str, fail: Callable[[str], NoReturn]) -> list[str]:
    try:
        (fields,) = csv.reader([text], skipinitialspace=True, strict=True)
    except (csv.Error, ValueError) as error:
        fail(f"the list can not be read ({error})")
    fields = [field.strip() if field.strip() else field for field in fields]
    if not all(fields):
        fail("the list has an empty place")
    return fields


def _label(variable: Variable, text: str, fail: Callable[[str], NoReturn], quoted: bool = True) -> str:
    """One label: as it stands, or in CSV quotes."""
    levels = cast("Categorical", variable.support).levels
    if text in levels or not quoted or not text.startswith('"'):
        label = text
    else:
        fields = _fields(text, fail)
        if len(fields) != 1:
            fail("an equals sign takes one label, several follow 'in'")
        label = fields[0]
    if levels and label not in levels:
        fail(f"{label!r} is no label of {variable.name!r}; {near(label, levels)}")
    return label


def _is_label_range(support: Categorical, text: str) -> bool:
    return support.ordered and ".." in text and text not in support.levels


def _label_range(variable: Variable, support: Categorical, text: str, fail: Callable[[str], NoReturn]) -> Within:
    """`low..high` of ordered levels with either end open; the cut whose ends are levels is meant."""
    for cut in re.finditer(r"(?=\.\.)", text):
        ends = [end.strip().strip('"') for end in (text[: cut.start()], text[cut.start() + 2 :])]
        if any(ends) and all(not end or end in support.levels for end in ends):
            lo, hi = (end or None for end in ends)
            return _ordered(support, lo, hi, fail)
    fail(f"the ends of the range are no levels of {variable.name!r}, which are {', '.join(support.levels)}")


def _ordered(support: Categorical, lo: str | None, hi: str | None, fail: Callable[[str], NoReturn]) -> Within:
    if lo is not None and hi is not None and support.levels.index(lo) > support.levels.index(hi):
        fail("the lower end of the range is above the upper")
    return Within(lo, hi)


def _range(variable: Variable, text: str, fail: Callable[[str], NoReturn]) -> Within:
    """`lo..hi` with either end open; `1...5` may be cut twice, so both cuts are tried."""
    cuts = [match.start() for match in re.finditer(r"(?=\.\.)", text)]
    found: set[tuple[float | None, float | None]] = set()
    for cut in cuts:
        ends = [_end(variable, end.strip()) for end in (text[:cut], text[cut + 2 :])]
        if None not in ends:
            lo, hi = (None if end is None or math.isinf(end) else end for end in ends)
            found.add((lo, hi))
    if not found:
        fail("the ends of the range are no " + ("numbers or dates" if is_date(variable) else "numbers"))
    ordered = {(lo, hi) for lo, hi in found if lo is None or hi is None or lo <= hi}
    if not ordered:
        fail("the lower end of the range is above the upper")
    if len(ordered) > 1:
        fail("three dots may mean two ranges: write a zero before or after the decimal point")
    ((lo, hi),) = ordered
    if lo is None and hi is None:
        fail("both ends are open: leave the variable out")
    return Within(lo, hi)


def _end(variable: Variable, text: str) -> float | None:
    """One end of a range: infinite where nothing stands, None where it is no number."""
    return math.inf if not text else _read(variable, text)


def _number(variable: Variable, text: str, fail: Callable[[str], NoReturn]) -> float | int:
    """One value of a numeric variable: an integer for counts and binaries."""
    if isinstance(variable.support, Binary):
        if text.lower() not in _BINARY:
            fail(f"{text!r} is neither 0 nor 1")
        return _BINARY[text.lower()]
    number = _coordinate(variable, text, fail)
    if isinstance(variable.support, Count):
        if number < 0 or number != int(number):
            fail(f"{text!r} is not a count")
        return int(number)
    return number


def _coordinate(variable: Variable, text: str, fail: Callable[[str], NoReturn]) -> float:
    number = _read(variable, text.strip())
    if number is None or math.isinf(number):
        fail(f"{text.strip()!r} is not a number" + (" or a date" if is_date(variable) else ""))
    return number


def _read(variable: Variable, text: str) -> float | None:
    """A number, or a date in the units of a date variable; None if it is neither."""
    number = _float(text)
    return _date(variable, text) if number is None and is_date(variable) else number


def _float(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return None if math.isnan(number) or "_" in text else number


def _date(variable: Variable, text: str) -> float | None:
    """An ISO 8601 date or time in the units of a date variable; times with an offset are taken to UTC."""
    import numpy as np

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    moment = moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    return float(to_numbers(np.array([moment], dtype="datetime64[us]"), variable.unit or "")[0])


def _from_json(variable: Variable, value: Any) -> Evidence:
    shown = "" if variable.shape else f": {json.dumps(value, default=str)[:80]}"  # pixels help nobody
    fail = _complaint(variable, f"given-json {variable.name!r}{shown}")
    if value is None:
        fail("null says nothing: leave the variable out")
    if not isinstance(value, dict):
        return Equals(_plain(variable, value, fail))
    form = cast("dict[str, Any]", value)
    ordered = not variable.shape and not isinstance(variable.support, (Categorical, Binary))
    keys = set(form)
    if keys == {"array", "mask"}:
        return Masked(_array(variable, form["array"], fail), _mask(variable, form["mask"], fail))
    if keys == {"within"} and isinstance(variable.support, Categorical) and variable.support.ordered:
        return _label_bounds(variable, variable.support, form["within"], fail)
    if keys == {"within"} and ordered:
        return _bounds(variable, form["within"], fail)
    if keys == {"one_of"} and isinstance(form["one_of"], list) and form["one_of"]:
        return OneOf(*(_plain(variable, member, fail) for member in cast("list[Any]", form["one_of"])))
    if keys == {"value", "sd"} and ordered:
        sd = form["sd"]
        if isinstance(sd, bool) or not isinstance(sd, (int, float)) or not 0 < sd < math.inf:
            fail("sd is not a positive number")
        return Soft(float(_plain(variable, form["value"], fail)), sd=float(sd))
    if keys == {"likelihood"} and isinstance(form["likelihood"], dict):
        return Soft(_weights(variable, cast("dict[str, Any]", form["likelihood"]), fail))
    fail("this is no form of evidence for it")


def _bounds(variable: Variable, ends: Any, fail: Callable[[str], NoReturn]) -> Within:
    """`[lo, hi]` with null for an open end."""
    if not isinstance(ends, list) or len(cast("list[Any]", ends)) != 2:
        fail("a range is [lo, hi]")
    lo, hi = (None if end is None else _coordinate(variable, str(end), fail) for end in cast("list[Any]", ends))
    if lo is not None and hi is not None and lo > hi:
        fail("the lower end of the range is above the upper")
    if lo is None and hi is None:
        fail("both ends are open: leave the variable out")
    return Within(lo, hi)


def _label_bounds(variable: Variable, support: Categorical, ends: Any, fail: Callable[[str], NoReturn]) -> Within:
    """`[lo, hi]` of ordered levels with null for an open end."""
    if not isinstance(ends, list) or len(cast("list[Any]", ends)) != 2:
        fail("a range is [lo, hi]")
    lo, hi = (
        None if end is None else _label(variable, str(end), fail, quoted=False) for end in cast("list[Any]", ends)
    )
    if lo is None and hi is None:
        fail("both ends are open: leave the variable out")
    return _ordered(support, lo, hi, fail)


def _plain(variable: Variable, value: Any, fail: Callable[[str], NoReturn]) -> Any:
    """A plain JSON value of the variable; arrays as nested lists."""
    if variable.shape:
        return _array(variable, value, fail)
    if isinstance(value, bool):
        value = int(value)
    if isinstance(value, (int, float, str)):
        if isinstance(variable.support, Categorical):
            return _label(variable, str(value), fail, quoted=False)
        # The shortest text that reads back as the same number.
        return _number(variable, value if isinstance(value, str) else repr(value), fail)
    fail("a value is a number or a text")


def _weights(variable: Variable, weights: dict[str, Any], fail: Callable[[str], NoReturn]) -> dict[str, float]:
    if not isinstance(variable.support, (Categorical, Binary)):
        fail("a likelihood vector goes with labels")
    for label, weight in weights.items():
        if isinstance(variable.support, Categorical):
            _label(variable, label, fail, quoted=False)
        elif label not in ("0", "1"):
            fail(f"{label!r} is neither 0 nor 1")
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight < math.inf:
            fail(f"the likelihood of {label!r} is not a number from 0 up")
    if not any(weights.values()):
        fail("every label has likelihood 0")
    return {label: float(weight) for label, weight in weights.items()}


def _array(variable: Variable, value: Any, fail: Callable[[str], NoReturn], what: str = "array") -> Any:
    """A numeric array of the variable's shape; null stands for NaN, for cells that a mask leaves out."""
    import numpy as np

    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        fail(f"the {what} is ragged or holds something that is no number")
    if array.shape != variable.shape:
        fail(f"the {what} has shape {array.shape}, not {variable.shape}")
    return array


def _mask(variable: Variable, value: Any, fail: Callable[[str], NoReturn]) -> Any:
    mask = _array(variable, value, fail, "mask")
    if not ((mask == 0) | (mask == 1)).all():
        fail("a mask holds true and false only")
    return mask.astype(bool)


def _complaint(variable: Variable, where: str) -> Callable[[str], NoReturn]:
    """Raises a `UsageError` that says where, what is wrong, and what would fit."""

    def fail(problem: str) -> NoReturn:
        raise UsageError(f"{where}: {problem}; expected {_examples(variable)}")

    return fail


def _examples(variable: Variable) -> str:
    """Evidence that fits the variable, as text."""
    name, support = variable.name, variable.support
    if variable.shape:
        return f'in a --given-json file {{"{name}": {{"array": [...], "mask": [...]}}}}'
    if isinstance(support, Categorical):
        levels = [_quote(level) for level in support.levels[:2]] or ["a", "b"]
        several = f" or '{name} in {','.join(levels)}'" if len(levels) > 1 else ""
        if support.ordered and len(levels) > 1:
            several = f", '{name}=..{levels[1]}'{several}"
        return f"e.g. {name}={levels[0]}{several}"
    if isinstance(support, Binary):
        return f"{name}=0 or {name}=1"
    if isinstance(support, Count):
        return f"e.g. {name}=3, {name}=2..5, {name}=2.. or '{name} in 1,2'"
    if is_date(variable):
        return f"e.g. {name}=2024-05-01, {name}=2024-05-01..2024-06-01 or {name}=2024-05-01.."
    return f"e.g. {name}=1.2, {name}=0.5..0.6, {name}=..5 or {name}=3.0+-0.2"


def _quote(label: str) -> str:
    return '"' + label.replace('"', '""') + '"' if re.search(r'[,"\s]', label) else label
