"""Frozen specs: what a plugin's hooks return. Importing this module imports neither torch nor pyro.

A spec names its factory as a `"module:attribute"` string, so that listing what is installed imports no model code;
`genprob.plugins.resolve` imports it when it is used.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelSpec:
    """One model family.

    Arguments:
        name: what the user types, e.g. `"mixture"`.
        factory: `"module:attr"` of a `genprob.Model` subclass; its keyword-only parameters are its options.
        summary: one line for `genprob models`.
        inferences: names of inferences that can train it; the first is the default.
        reference: the source paper (authors, year, title).
    """

    name: str
    factory: str
    summary: str
    inferences: tuple[str, ...]
    reference: str = ""


@dataclass(frozen=True)
class InferenceSpec:
    """One way to train: a factory `(model, **options) -> genprob.engine.program.Program`.

    Arguments:
        name: what the user types, e.g. `"nuts"`.
        factory: `"module:attr"` of the function; its keyword-only parameters are its options.
        summary: one line for `genprob models`.
        reference: the source paper.
        programs: whether it can be asked of every model with a Pyro program, also of those that do not name it.
    """

    name: str
    factory: str
    summary: str
    reference: str = ""
    programs: bool = False


@dataclass(frozen=True)
class StrategySpec:
    """One way to answer queries: a factory `() -> Strategy`. Lower `rank` is asked first among equal guarantees."""

    name: str
    factory: str
    summary: str
    rank: int = 50
    reference: str = ""


@dataclass(frozen=True)
class MetricSpec:
    """One figure of merit: a factory `(**options) -> callable(joint, dataset)`."""

    name: str
    factory: str
    summary: str
    reference: str = ""


@dataclass(frozen=True)
class DatasetSpec:
    """A named data set: a factory `() -> xarray.Dataset`, with its licence and the package that carries it."""

    name: str
    factory: str
    summary: str
    licence: str
    package: str


Spec = ModelSpec | InferenceSpec | StrategySpec | MetricSpec | DatasetSpec
