from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Optional

import pytest

from genprob.errors import PluginError, UsageError
from genprob.options import REQUIRED, Option, convert, options, pick

if TYPE_CHECKING:
    from nowhere import Unknown


class Family:
    """A family.

    Arguments:
        latent: size of the code,
            in numbers.
        hidden: sizes of the hidden layers: one each.
    """

    def __init__(
        self,
        schema: Unknown,
        *,
        latent: int,
        hidden: tuple[int, ...] = (64, 64),
        rate: float | None = None,
        network: Unknown = None,
    ) -> None: ...


def test_a_signature_is_a_configuration():
    found = {option.name: option for option in options(Family)}
    assert list(found) == ["latent", "hidden", "rate", "network"]
    assert found["latent"].default is REQUIRED
    assert found["latent"].doc == "size of the code, in numbers."
    assert found["hidden"].doc == "sizes of the hidden layers: one each."
    assert found["hidden"].annotation == tuple[int, ...]
    assert (found["rate"].default, found["rate"].type) == (None, "float or none")


def test_a_factory_without_parameters_has_no_options():
    class Bare: ...

    assert options(Bare) == []


def test_a_first_parameter_with_a_default_is_an_option():
    def solver(k: int = 1): ...

    assert [option.name for option in options(solver)] == ["k"]


@pytest.mark.parametrize("star", ["args", "kwargs"])
def test_open_signatures_are_refused(star):
    def positional(model, *args): ...
    def keyword(model, **kwargs): ...

    with pytest.raises(PluginError, match=rf"\*{star}: a factory's signature is its configuration"):
        options(positional if star == "args" else keyword)


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (int, "3", 3),
        (int, "-3", -3),
        (int, "1e3", 1000),
        (int, "9007199254740993", 9007199254740993),
        (float, "3", 3.0),
        (float, "1e-3", 1e-3),
        (bool, "true", True),
        (bool, "Off", False),
        (bool, "1", True),
        (str, "tied=yes", "tied=yes"),
        (int | None, "none", None),
        (Optional[int], "4", 4),  # noqa: UP045  the older spelling is what plugins may use
        (float | str, "full", "full"),
        (float | str, "0.5", 0.5),
        (int | float, "2", 2),
        (bool | int, "1", 1),
        (bool | int, "true", True),
        (int | float, "2.5", 2.5),
        (tuple[int, ...], "64,64", (64, 64)),
        (tuple[int, ...], "(64, 64)", (64, 64)),
        (tuple[int, ...], "64", (64,)),
        (tuple[int, ...], "", ()),
        (tuple[int, float], "1, 2", (1, 2.0)),
        (list[float], "[1,2]", [1.0, 2.0]),
        (int | tuple[int, ...], "64,32", (64, 32)),
        (Literal["full", "diagonal"], "Full", "full"),
        (Callable, "json:dumps", __import__("json").dumps),
        (type[dict], "collections:OrderedDict", __import__("collections").OrderedDict),
    ],
)
def test_text_is_read_by_the_annotation(annotation, text, value):
    read = convert(Option("k", annotation, None, ""), text)
    assert read == value and type(read) is type(value)


@pytest.mark.parametrize(
    ("annotation", "text", "expected"),
    [
        (int, "3.5", "int"),
        (int, "inf", "int"),
        (int, "many", "int"),
        (float, "nan", "float"),
        (bool, "maybe", "true or false"),
        (int | None, "x", "int or none"),
        (tuple[int, ...], "64,x", "ints separated by commas"),
        (tuple[int, int], "64", "int, int"),
        (Literal["full", "diagonal"], "round", "full or diagonal"),
        (Callable, "relu", "module:attr"),
    ],
)
def test_what_does_not_fit_names_option_text_and_expectation(annotation, text, expected):
    with pytest.raises(UsageError) as caught:
        convert(Option("k", annotation, None, ""), text)
    assert str(caught.value) == f"option k={text!r}: expected {expected}"


def test_an_unknown_option_names_the_nearest():
    with pytest.raises(UsageError, match="no option 'latnt'; did you mean 'latent'"):
        pick(Family, "latnt")


def test_an_option_of_a_factory_without_options_says_so():
    class Bare: ...

    with pytest.raises(UsageError, match="it has no options"):
        pick(Bare, "k")
