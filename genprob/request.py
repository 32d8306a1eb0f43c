"""Request: which model a fit is asked for, with which options, by which inference, from which seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from genprob import plugins
from genprob.errors import PluginError, UsageError
from genprob.options import Option, convert, pick
from genprob.spec import ModelSpec

if TYPE_CHECKING:
    from genprob.data.schema import Schema
    from genprob.engine.program import Program
    from genprob.model import Model

DEFAULT_MODEL = "mixture"
_REFERENCE = "module:attr"


@dataclass(frozen=True)
class Request:
    """A fit as a run's configuration holds it: everything JSON, every option checked against its factory.

    Attributes:
        model: name of the model.
        options: of the model's factory; factories among them as `"module:attr"`.
        inference: `{"name": ..., option: value}`.
        seed: of everything random.
    """

    model: str
    options: dict[str, Any]
    inference: dict[str, Any]
    seed: int

    @classmethod
    def of(
        cls,
        model: str | None,
        options: Mapping[str, Any],
        inference: str | Mapping[str, Any] | None,
        steps: int | None,
        seed: int,
    ) -> Request:
        """What a caller of `genprob.fit` asks; raises `UsageError` naming the nearest names for unknown ones."""
        spec = plugins.find("model", model or DEFAULT_MODEL)
        inference = inference or spec.inferences[0]
        asked: dict[str, Any] = {"name": inference} if isinstance(inference, str) else dict(inference)
        if "name" not in asked:
            raise UsageError(f"inference={inference!r}: needs a name, e.g. {{'name': '{spec.inferences[0]}'}}")
        name = asked.pop("name")
        option = counted(asked.pop("steps", steps))
        if steps is not None and option != steps:
            raise UsageError(f"steps={steps} and inference option steps={option}: give one of them")
        steps = option
        method = plugins.find("inference", name)
        if method.name not in spec.inferences and not (method.programs and _is_program(spec)):
            raise UsageError(
                f"model {spec.name!r} cannot be fitted by {name!r}; it can by {', '.join(spec.inferences)}"
            )
        request = cls(
            model or DEFAULT_MODEL,
            _settled(plugins.resolve(spec.factory), options, f"model {spec.name!r}"),
            {"name": name, **_settled(plugins.resolve(method.factory), asked, f"inference {method.name!r}")},
            whole("seed", seed, 0),
        )
        return request if steps is None else request.lasting(steps)

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> Request:
        """What a run was begun with."""
        return cls(config["model"], dict(config["options"]), dict(config["inference"]), config["seed"])

    def config(self) -> dict[str, Any]:
        """What `read` reads."""
        return {"model": self.model, "options": self.options, "inference": self.inference, "seed": self.seed}

    @property
    def steps(self) -> int | None:
        """The total number of steps asked for, None for the inference's own."""
        return self.inference.get("steps")

    def lasting(self, steps: int) -> Request:
        """The same with another number of steps."""
        return replace(self, inference={**self.inference, "steps": whole("steps", steps, 0)})

    def check(
        self, model: str | None, options: Mapping[str, Any], inference: str | Mapping[str, Any] | None, seed: int
    ) -> None:
        """`UsageError` where a caller who continues this fit asks for something else; what is left out is as it was."""
        spec = self._spec()
        if model is not None and plugins.find("model", model) != spec:
            raise _other("model", self.model, model)
        factory = plugins.resolve(spec.factory)
        for name, value in _settled(factory, options, f"model {spec.name!r}").items():
            began = self.options.get(name, _plain(pick(factory, name).default))
            if value != began:
                raise _other(name, began, value)
        asked = {"name": inference} if isinstance(inference, str) else dict(inference or {})
        method = plugins.find("inference", self.inference["name"])
        name = asked.pop("name", None)
        if name is not None and plugins.find("inference", name) != method:
            raise _other("inference", self.inference["name"], name)
        factory = plugins.resolve(method.factory)
        for name, value in _settled(factory, asked, f"inference {method.name!r}").items():
            began = self.inference.get(name, _plain(pick(factory, name).default))
            if value != began and name != "steps":
                raise _other(f"inference option {name}", began, value)
        if whole("seed", seed, 0) not in (0, self.seed):
            raise _other("seed", self.seed, seed)

    def build(self, schema: Schema) -> Model:
        """The model; raises `PluginError` unless an enabled plugin provides it and every factory among its options."""
        from genprob.query.programs import capable  # torch is imported where a model is built

        factory = plugins.resolve(self._spec().factory, enabled=True)
        given = {name: _object(pick(factory, name), value) for name, value in self.options.items()}
        sampled = plugins.find("inference", self.inference["name"]).programs
        return capable(factory, sampled=sampled)(schema, **given)

    def program(self, model: Model) -> Program:
        """The inference's phases for a model."""
        factory = plugins.resolve(plugins.find("inference", self.inference["name"]).factory)
        options = {k: _object(pick(factory, k), value) for k, value in self.inference.items() if k != "name"}
        return factory(model, **options)

    def _spec(self) -> ModelSpec:
        try:
            return plugins.find("model", self.model)
        except UsageError as error:
            raise PluginError(
                f"{error}; its plugin is not installed, or not enabled (genprob plugins), or it is a class of a "
                "program or notebook: load the run there, after genprob.plugins.enlist(THE_CLASS), or make the class a "
                "plugin (genprob plugin new)"
            ) from None


def _is_program(spec: ModelSpec) -> bool:
    """True for a model whose density is a Pyro program of its own."""
    from genprob.model import Model

    factory = plugins.resolve(spec.factory)
    return isinstance(factory, type) and issubclass(factory, Model) and factory.model is not Model.model


def counted(value: Any) -> Any:
    """The inference's option `steps`, read where the command line gives it as a text; anything else as it is."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def whole(name: str, value: Any, least: int) -> int:
    """The value as an int; `UsageError` unless it is a whole number, `least` or more."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer)) or not least <= value < 2**63:
        raise UsageError(f"{name}={value!r}: must be a whole number, {least} or more")
    if int(value) != value:
        raise UsageError(f"{name}={value!r}: must be a whole number, {least} or more")
    return int(value)


def _settled(factory: Callable[..., Any], options: Mapping[str, Any], owner: str) -> dict[str, Any]:
    """Options as JSON, read as their annotations say; `owner` is what messages call the factory."""
    return {name: _read(pick(factory, name, owner), value) for name, value in options.items()}


def _read(option: Option, value: Any) -> Any:
    plain = _plain(value)
    if not _readable(plain):
        raise UsageError(f"option {option.name}={value!r}: expected {option.type}")
    if _is_reference(option, plain):
        plugins.resolve(plain, enabled=True)
        return plain
    read = convert(option, _text(plain))
    return plain if isinstance(plain, str) and isinstance(read, str) else _plain(read)


def _object(option: Option, value: Any) -> Any:
    """What a factory is given for a value of the configuration: factories by their names, sequences of its type."""
    if _is_reference(option, value):
        return plugins.resolve(value, enabled=True)
    return convert(option, _text(value)) if isinstance(value, list) else value


def _is_reference(option: Option, value: Any) -> bool:
    return _REFERENCE in option.type and isinstance(value, str) and ":" in value


def _readable(value: Any) -> bool:
    return value is None or isinstance(value, (str, int, float)) or (
        isinstance(value, list) and all(map(_readable, value))
    )  # fmt: skip


def _text(value: Any) -> str:
    """The value as it would be typed."""
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _plain(value: Any) -> Any:
    """Numpy's numbers as Python's, sequences as lists, classes and functions as `"module:attr"`."""
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}:{value.__qualname__}"
    return value


def _other(what: str, began: Any, asked: Any) -> UsageError:
    return UsageError(
        f"the run was begun with {what} {began!r}, not {asked!r}; resume without it, or start another run"
    )
