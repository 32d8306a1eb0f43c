"""The plugin loader: every entry point of group `genprob` on its own, failures kept, never fatal.

A plugin is a light module of hooks (`genprob.hookspecs`) that return frozen specs; a spec names its factory as a
`"module:attr"` string, which `resolve` imports when it is used. Listing what is installed imports no model code.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import importlib
import inspect
import os
import re
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any, Literal, overload

import pluggy

from genprob import hookspecs
from genprob.errors import PluginError, UsageError
from genprob.spec import DatasetSpec, InferenceSpec, MetricSpec, ModelSpec, Spec, StrategySpec

Kind = Literal["model", "inference", "strategy", "metric", "dataset"]
GROUP = "genprob"
VARIABLE = "GENPROB_PLUGINS"
_HOOKS: dict[Kind, tuple[str, type[Spec]]] = {
    "model": ("genprob_models", ModelSpec),
    "inference": ("genprob_inferences", InferenceSpec),
    "strategy": ("genprob_strategies", StrategySpec),
    "metric": ("genprob_metrics", MetricSpec),
    "dataset": ("genprob_datasets", DatasetSpec),
}
_REFERENCE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


@dataclass(frozen=True)
class Plugin:
    """One entry point that was imported: its name, the distribution that ships it, the hooks it implements."""

    name: str
    distribution: str
    version: str
    module: str
    hooks: tuple[str, ...]


@dataclass(frozen=True)
class Failure:
    """What is wrong with one entry point: it raised at import, misspelt a hook, or a hook returned nonsense."""

    distribution: str
    entry: str
    error: Exception

    def __str__(self) -> str:
        return f"{self.distribution}:{self.entry}: {type(self.error).__name__}: {self.error}"


@dataclass(frozen=True)
class Contribution:
    """One spec and the plugin that returned it."""

    kind: Kind
    spec: Spec
    plugin: Plugin


@dataclass(frozen=True)
class Catalogue:
    """Everything installed and enabled: plugins, their specs, what failed, and which names were switched off."""

    plugins: tuple[Plugin, ...]
    contributions: tuple[Contribution, ...]
    failures: tuple[Failure, ...]
    disabled: tuple[str, ...]


_HERE = Plugin("enlisted", "enlisted", "", "enlisted", ("genprob_models",))
_enlisted: dict[str, tuple[ModelSpec, Callable[..., Any]]] = {}


def catalogue() -> Catalogue:
    """What is installed, as `GENPROB_PLUGINS` selects. Loaded once per selection.

    `"mixture"` keeps the named plugins and the core's own; `"-energy"` drops one; the two can be combined, and
    `dist:name` tells plugins of the same name apart. Raises `UsageError` for a name that is not installed.
    """
    found = _load(os.environ.get(VARIABLE, ""))
    if not _enlisted:
        return found
    own = tuple(Contribution("model", spec, _HERE) for spec, _ in _enlisted.values())
    return replace(found, contributions=found.contributions + own)


def enlist(factory: Callable[..., Any], *, name: str = "", inferences: tuple[str, ...] = ()) -> str:
    """Makes a class of this process known as a model, as a plugin would; returns its name.

    For notebooks: a class that is defined again under its name takes the place of the earlier one. What was fitted
    to it is loaded wherever the class was enlisted before.

    Arguments:
        factory: a `genprob.Model` subclass.
        name: what it is called; the class's own name if empty.
        inferences: names of inferences that can train it, the first is the default; if empty, what the class states
            as its `inferences`.
    """
    name = name or factory.__name__
    inferences = inferences or tuple(getattr(factory, "inferences", ())) or ("elbo",)
    summary = (inspect.getdoc(factory) or "").partition("\n")[0]
    _enlisted[name] = ModelSpec(name, f"{_HERE.distribution}:{name}", summary, inferences), factory
    return name


def specs(kind: Kind) -> tuple[tuple[Spec, str], ...]:
    """Every spec of a kind with the name of its distribution, in order of name.

    >>> ("mixture", "genprob") in [(spec.name, distribution) for spec, distribution in specs("model")]
    True
    """
    found = [(c.spec, c.plugin.distribution) for c in catalogue().contributions if c.kind == kind]
    return tuple(sorted(found, key=lambda pair: (pair[0].name, pair[1])))


@overload
def find(kind: Literal["model"], name: str) -> ModelSpec: ...
@overload
def find(kind: Literal["inference"], name: str) -> InferenceSpec: ...
@overload
def find(kind: Literal["strategy"], name: str) -> StrategySpec: ...
@overload
def find(kind: Literal["metric"], name: str) -> MetricSpec: ...
@overload
def find(kind: Literal["dataset"], name: str) -> DatasetSpec: ...
def find(kind: Kind, name: str) -> Spec:
    """The spec of that name, bare (`mixture`) or qualified by its distribution (`genprob:mixture`).

    Raises `UsageError` for an unknown name, with the nearest ones; `PluginError` if two plugins offer the name.
    """
    known = [c for c in catalogue().contributions if c.kind == kind]
    owner, _, bare = name.rpartition(":")
    found = [c for c in known if c.spec.name == bare and (not owner or _canonical(owner) == _canonical(c))]
    if len(found) == 1:
        return found[0].spec
    if found:
        owners = sorted({c.plugin.distribution for c in found})
        if len(owners) == 1:
            entries = " and ".join(sorted(c.plugin.name for c in found))
            raise PluginError(f"{kind} {name!r}: distribution {owners[0]} offers it twice, in {entries}")
        ways = " or ".join(f"{owner}:{bare}" for owner in owners)
        raise PluginError(f"{kind} {bare!r} is offered by {' and by '.join(owners)}; say {ways}")
    raise UsageError(f"unknown {kind} {name!r}; {near(name, [c.spec.name for c in known])}{_failed()}")


def resolve(reference: str, *, enabled: bool = False) -> Any:
    """The object that a `"module:attr"` reference names.

    Arguments:
        reference: e.g. `"genprob_mixture.model:Mixture"`.
        enabled: refuse modules of packages that no enabled plugin belongs to (for references read from a file).

    Raises `PluginError` naming the distribution and the cause if it cannot be imported.
    """
    owner, _, name = reference.partition(":")
    if owner == _HERE.distribution and name in _enlisted:
        return _enlisted[name][1]
    if not _REFERENCE.fullmatch(reference):
        raise PluginError(f'{reference!r} is not a reference of the form "module:attr"')
    name, _, path = reference.partition(":")
    if enabled and name.partition(".")[0] not in {GROUP, *(p.module.partition(".")[0] for p in catalogue().plugins)}:
        raise PluginError(f"{reference}: not imported, since no enabled plugin provides {name}; see `genprob plugins`")
    try:
        with _quiet():
            module = importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise PluginError(f"{_owner(reference)}{reference}: import failed: {type(error).__name__}: {error}") from error
    try:
        return functools.reduce(getattr, path.split("."), module)
    except AttributeError as error:
        raise PluginError(f"{_owner(reference)}{reference}: {error}") from error


def near(name: str, known: Iterable[str]) -> str:
    """The second half of an "unknown ..." message: the nearest known names, else all of them.

    >>> near("mixtur", ["mixture", "vae"])
    "did you mean 'mixture'?"
    """
    known = sorted(set(known))
    close = difflib.get_close_matches(name, known, n=3)
    if close:
        return f"did you mean {' or '.join(map(repr, close))}?"
    return f"known: {', '.join(known)}" if known else "none is installed"


@functools.cache
def _load(selection: str) -> Catalogue:
    installed = sorted(entry_points(group=GROUP), key=lambda entry: (_distribution(entry), entry.name))
    chosen = _select(installed, selection)
    plugins: list[Plugin] = []
    contributions: list[Contribution] = []
    failures: list[Failure] = []
    for entry in chosen:
        distribution = _distribution(entry)

        def fail(error: Exception, distribution: str = distribution, entry: EntryPoint = entry) -> None:
            failures.append(Failure(distribution, entry.name, error))

        try:
            with _quiet():
                module = importlib.import_module(entry.module)
        except Exception as error:
            fail(error)
            continue
        except SystemExit as error:
            fail(PluginError(f"calls sys.exit({error.code!r}) when it is imported"))
            continue
        hooks = _register(module, fail)
        version = entry.dist.version if entry.dist else ""
        plugin = Plugin(entry.name, distribution, version, entry.module, tuple(sorted(hooks)))
        plugins.append(plugin)
        for kind, (hook, _) in _HOOKS.items():
            if hook in hooks:
                contributions += [Contribution(kind, spec, plugin) for spec in _call(kind, hooks[hook], fail)]
    off = tuple(entry.name for entry in installed if entry not in chosen)
    return Catalogue(tuple(plugins), tuple(contributions), tuple(failures), off)


def _select(installed: list[EntryPoint], selection: str) -> list[EntryPoint]:
    """The entry points that a selection such as `"mixture,-energy"` keeps."""
    words = [word.strip() for word in selection.split(",") if word.strip()]
    names: dict[str, set[EntryPoint]] = {}
    for entry in installed:
        for name in (entry.name, f"{_distribution(entry)}:{entry.name}"):
            names.setdefault(name, set()).add(entry)
    for word in words:
        if word.removeprefix("-") not in names:
            hint = near(word.removeprefix("-"), [entry.name for entry in installed])
            raise UsageError(f"{VARIABLE}={selection!r}: no plugin {word.removeprefix('-')!r} is installed; {hint}")
    on = {entry for word in words if not word.startswith("-") for entry in names[word]}
    off = {entry for word in words if word.startswith("-") for entry in names[word.removeprefix("-")]}
    core = {entry for entry in installed if entry.module.partition(".")[0] == GROUP}
    return [entry for entry in installed if (not on or entry in on | core) and entry not in off]


class _Manager(pluggy.PluginManager):
    """Takes every function whose name starts with `genprob_` for a hook, marked or not: none is lost silently."""

    def parse_hookimpl_opts(self, plugin: object, name: str) -> Any:
        options = super().parse_hookimpl_opts(plugin, name)
        if options is None and name.startswith(f"{hookspecs.PROJECT}_") and inspect.isfunction(getattr(plugin, name)):
            options = pluggy.HookimplOpts(
                wrapper=False, hookwrapper=False, optionalhook=False, tryfirst=False, trylast=False, specname=None
            )
        return options


def _register(module: ModuleType, fail: Callable[[Exception], None]) -> dict[str, Callable[[], Any]]:
    """The hooks of one plugin, checked by pluggy against the specifications; what it refuses goes to `fail`."""
    known = [hook for hook, _ in _HOOKS.values()]
    manager = _Manager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(module)
    except pluggy.PluginValidationError as error:
        fail(PluginError(" ".join(str(error).split())))
        return {}
    hooks: dict[str, Callable[[], Any]] = {}
    for caller in manager.get_hookcallers(module) or ():
        if caller.has_spec():
            hooks[caller.name] = caller
        else:
            fail(PluginError(f"hook {caller.name!r} does not exist; {near(caller.name, known)}"))
    if not hooks:
        fail(PluginError(f"{module.__name__} implements no hook; there are {', '.join(known)}"))
    return hooks


def _call(kind: Kind, hook: Callable[[], Any], fail: Callable[[Exception], None]) -> Iterator[Spec]:
    """The specs that one plugin's hook returns; anything else that it returns goes to `fail`."""
    name, expected = _HOOKS[kind]
    try:
        with _quiet():
            answers = hook()
            returned = [spec for answer in answers for spec in answer]
    except Exception as error:
        fail(error)
        return
    if not answers:  # pluggy drops None
        fail(PluginError(f"{name} returned None; return a list, which may be empty"))
    for spec in returned:
        if not isinstance(spec, expected):
            fail(PluginError(f"{name} returned {spec!r}, which is no {expected.__name__}"))
        elif not spec.name or ":" in spec.name:
            fail(PluginError(f"{name}: {spec.name!r} can not be a name: it is empty or contains a colon"))
        elif not _REFERENCE.fullmatch(spec.factory):
            fail(PluginError(f'{name}: factory {spec.factory!r} of {spec.name!r} is not of the form "module:attr"'))
        else:
            yield spec


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """Foreign code may print when imported: that goes to stderr, stdout belongs to the answer."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "unknown"


def _canonical(name: str | Contribution) -> str:
    """The form in which names of distributions are compared."""
    text = name if isinstance(name, str) else name.plugin.distribution
    return re.sub(r"[-_.]+", "-", text).lower()


def _owner(reference: str) -> str:
    """`"dist: "` for a factory that some plugin's spec names, else nothing."""
    owners = {c.plugin.distribution for c in catalogue().contributions if c.spec.factory == reference}
    return f"{', '.join(sorted(owners))}: " if owners else ""


def _failed() -> str:
    failures = catalogue().failures
    return f" ({'; '.join(f'plugin {failure} failed to load' for failure in failures)})" if failures else ""
