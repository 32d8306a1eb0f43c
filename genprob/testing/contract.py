"""The contract battery: what every model owes its users, checked on a small table within a time budget."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from genprob import plugins
from genprob.data.schema import Variable
from genprob.errors import CorruptFileError, DataError, GenprobError, PluginError, UsageError
from genprob.fitting import fit
from genprob.joint import Joint, load
from genprob.model import Model
from genprob.options import REQUIRED
from genprob.options import options as options_of
from genprob.query.capabilities import Draws, Proposes, Scores
from genprob.query.evidence import OneOf, Soft, Within
from genprob.testing.tables import TABLES

SECONDS = 20.0
"""Processor time that the battery may take on one model."""
_STEPS = 30
_ERRORS = 5.0
"""Standard errors by which two estimates of one number may differ."""


class Broken(Exception):
    """A clause of the contract does not hold; the text says how."""


class Waived(Exception):
    """A clause says nothing about this model; the text says why."""


@dataclass(frozen=True)
class Verdict:
    """What came of one clause: `ok`, `fail` or `waived`, with a line of detail."""

    clause: str
    outcome: str
    detail: str
    seconds: float


@dataclass(frozen=True)
class Report:
    """The verdicts on one model; printing it shows a table."""

    model: str
    verdicts: tuple[Verdict, ...]

    @property
    def ok(self) -> bool:
        """True if no clause failed."""
        return all(v.outcome != "fail" for v in self.verdicts)

    def __str__(self) -> str:
        width = max(len(v.clause) for v in self.verdicts)
        lines = [f"{v.clause:<{width}}  {v.outcome:<6}  {v.seconds:5.1f} s  {v.detail}" for v in self.verdicts]
        return "\n".join([f"{self.model}: {'passes' if self.ok else 'FAILS'}", *lines])

    __repr__ = __str__


def check(
    model: str | type[Model],
    *,
    data: Mapping[str, Any] | None = None,
    inference: str | Mapping[str, Any] | None = None,
    steps: int = _STEPS,
    seconds: float = SECONDS,
    **options: Any,
) -> Report:
    """Holds a model to the contract.

    Arguments:
        model: a registered name, or a class (of a notebook, say), which is enlisted for the process.
        data: a table to check on; None takes the first of a mixed, a real and a binary one that the model accepts.
        inference: how it is fitted; None takes the model's first.
        steps: of each fit; the contract holds for a bad fit as well as for a good one.
        seconds: the budget of processor time, itself a clause.
        options: of the model.

    >>> import genprob.testing
    >>> genprob.testing.check("mixture", components=2, steps=5).ok
    True
    """
    name = plugins.enlist(model) if isinstance(model, type) else model
    started = time.process_time()
    verdicts: list[Verdict] = []
    with _folder() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        case = Case(name, data, inference, steps, options, folder)
        for clause in CLAUSES:
            verdicts.append(_try(clause, case))
            if clause is fits and verdicts[-1].outcome == "fail":
                break
    spent = time.process_time() - started
    within = "ok" if spent <= seconds else "fail"
    verdicts.append(Verdict("time budget", within, f"{spent:.1f} of {seconds:.0f} s", spent))
    return Report(name, tuple(verdicts))


def _try(clause: Callable[[Case], str], case: Case) -> Verdict:
    started, text = time.process_time(), clause.__name__.replace("_", " ")
    try:
        outcome, detail = "ok", clause(case)
    except Waived as reason:
        outcome, detail = "waived", str(reason)
    except Broken as reason:
        outcome, detail = "fail", str(reason)
    except Exception as error:  # whatever a model raises is a verdict on it
        outcome, detail = "fail", f"{type(error).__name__}: {' '.join(str(error).split())}"
    return Verdict(text, outcome, detail, time.process_time() - started)


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="genprob-check-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Case:
    """One model under examination: its fits are made when a clause first needs them."""

    name: str
    given: Mapping[str, Any] | None
    inference: str | Mapping[str, Any] | None
    steps: int
    options: dict[str, Any]
    folder: Path
    refused: list[str] = field(default_factory=list)

    @cached_property
    def data(self) -> xr.Dataset:
        """The table that is used: the first that the model does not refuse."""
        if self.given is not None:
            return xr.Dataset(dict(self.given)) if not isinstance(self.given, xr.Dataset) else self.given
        for name, table in TABLES.items():
            try:
                self.fit(table(), steps=0)
            except (UsageError, DataError) as error:
                self.refused.append(f"{name}: {error}")
            else:
                return table()
        raise Broken(f"it refuses every table: {'; '.join(self.refused)}")

    @cached_property
    def joint(self) -> Joint:
        """The model fitted to the table."""
        return self.fit(self.data, out=self.folder / "run")

    @cached_property
    def small(self) -> Joint:
        """The model fitted to one or two variables, so that its whole law can be summed."""
        names = [v.name for v in self.joint.schema if v.cardinality and not v.shape][:2]
        names = names or [next((v.name for v in self.joint.schema if not v.shape), "")]
        if names == [""]:
            raise Waived("every variable is an array")
        return self.fit(self.data[names])

    def ask(self, *args: Any, **kwargs: Any) -> Any:
        """`Joint.query` of the fitted model."""
        return self.joint.query(*args, **kwargs)

    def fit(self, data: Any, *, steps: int | None = None, **more: Any) -> Joint:
        """A fit of the model under examination."""
        steps = self.steps if steps is None else steps
        return fit(data, self.name, inference=self.inference, steps=steps, seed=1, **more, **self.options)

    @cached_property
    def row(self) -> dict[str, Any]:
        """Values of the first row that holds all scalars."""
        table = self.joint.table(self.data)
        known = ~np.isnan(table.values)
        at = int(known.sum(1).argmax())
        ds = table.to_dataset().isel({self.joint.schema.sample_dim: at})
        return {
            v.name: ds[v.name].values[()]
            for v in self.joint.schema
            if known[at, self.joint.schema.slices[v.name]].all()
        }

    @cached_property
    def question(self) -> tuple[str, dict[str, Any]]:
        """A target and two given points."""
        scalars = [v.name for v in self.joint.schema if not v.shape and v.name in self.row]
        if len(scalars) < 2:
            raise Waived("fewer than two scalar variables")
        return scalars[0], {name: self.row[name] for name in scalars[1:3]}


def demand(holds: Any, otherwise: str) -> None:
    """Raises `Broken` unless it holds."""
    if not holds:
        raise Broken(otherwise)


# --- the clauses, in order


def options_are_the_signature(case: Case) -> str:
    """Every option is named and has a default; `*args` and `**kwargs` are refused."""
    found = options_of(plugins.resolve(plugins.find("model", case.name).factory))
    required = [o.name for o in found if o.default is REQUIRED]
    demand(not required, f"option {required[0] if required else ''!r} has no default")
    return ", ".join(o.name for o in found) or "none"


def fits(case: Case) -> str:
    """A table with holes is learned from."""
    joint = case.joint
    holes = int(sum(case.data[v].isnull().sum() for v in case.data.data_vars))
    return f"{joint.rows} rows, {len(joint.schema)} variables, {holes} holes, {case.steps} steps"


def draws(case: Case) -> str:
    """Draws have the shapes, supports and labels of the data; a seed decides them."""
    joint = case.joint
    if not isinstance(joint.model, Draws):
        raise Waived("it cannot be sampled")
    first, again, other = joint.sample(200, seed=3), joint.sample(200, seed=3), joint.sample(200, seed=4)
    demand(first.identical(again), "the same seed gives other draws")
    demand(not first.identical(other), "another seed gives the same draws")
    values = joint.table(first.rename(draw=joint.schema.sample_dim)).values
    for variable in joint.schema:
        part = values[:, joint.schema.slices[variable.name]]
        demand(first[variable.name].shape == (200, *variable.shape), f"{variable.name!r} is drawn in another shape")
        inside = variable.support.contains(part) if variable.cell is None else np.isfinite(part)
        demand(inside.all(), f"{variable.name!r} is drawn outside {variable.support.text()}")
    return "200 rows within their supports"


def log_prob(case: Case) -> str:
    """Rows with holes are scored; kind and errors are stated; a row says the same wherever it stands."""
    joint = case.joint
    if not isinstance(joint.model, (Proposes, Scores)):
        raise Waived("it has no log-probability")
    scored = joint.log_prob(case.data)
    value, error = scored["log_prob"].values, scored["standard_error"].values
    demand(np.isfinite(value).all(), "a training row has log-probability that is no finite number")
    kind = scored.attrs["kind"]
    demand(kind in ("exact", "lower_bound", "upper_bound", "estimate"), f"kind {kind!r}")
    demand(kind != "exact" or not error.any(), "exact, but with standard errors")
    flipped = joint.log_prob(case.data.isel({joint.schema.sample_dim: slice(None, None, -1)}))
    off = np.abs(flipped["log_prob"].values[::-1] - value)
    spread = np.hypot(error, flipped["standard_error"].values[::-1])
    demand((off <= _ERRORS * spread + 0.05 * (error > 0) + 1e-6).mean() > 0.98, "a row's score depends on its place")
    return f"{kind}, mean {value.mean():.2f} nats, errors up to {error.max():.2g}"


def normalised(case: Case) -> str:
    """The probabilities of all states add up to one, and draws come with these probabilities."""
    joint = case.small
    if not isinstance(joint.model, (Proposes, Scores)):
        raise Waived("it has no log-probability")
    variables = list(joint.schema)
    if all(v.cardinality for v in variables):
        states = [_levels(v) for v in variables]
        grid = list(itertools.product(*states))
        scored = joint.log_prob({v.name: [state[i] for state in grid] for i, v in enumerate(variables)})
        mass = np.exp(scored["log_prob"].values)
        total, error = mass.sum(), np.sqrt(((mass * scored["standard_error"].values) ** 2).sum())
        demand(abs(total - 1) < _ERRORS * error + 1e-6, f"the probabilities add up to {total:.4f}")
        if isinstance(joint.model, Draws):
            drawn = joint.sample(4000, seed=1)
            columns = [drawn[v.name].values for v in variables]
            counted = np.array(
                [np.all([c == s for c, s in zip(columns, state, strict=True)], 0).mean() for state in grid]
            )
            noise = np.sqrt(mass * (1 - mass).clip(0) / 4000 + (mass * scored["standard_error"].values) ** 2) + 1e-3
            worst = float((np.abs(counted - mass) / noise).max())
            demand(worst < _ERRORS, f"draws and log_prob disagree by {worst:.1f} standard errors")
        return f"{len(grid)} states add up to {total:.4f}, draws agree"
    if not isinstance(joint.model, Draws) or variables[0].is_count:
        raise Waived("its law is not summed here")
    name, cell = variables[0].name, variables[0].cell
    drawn = np.sort(joint.sample(4000, seed=1)[name].values.astype(np.float64))
    lo, hi = drawn[400], drawn[3600]
    if cell is not None:
        first, last = cell.index(np.array([lo, hi])).tolist()
        x = cell.value(np.arange(first, last + 1))
    else:
        x = np.linspace(lo, hi, 400)
    density = np.exp(joint.log_prob({name: x})["log_prob"].values)
    mass = density.sum() if cell is not None else np.trapezoid(density, x)
    inside = ((drawn >= lo) & (drawn <= hi)).mean()
    demand(abs(mass - inside) < 0.05, f"a range that holds {inside:.3f} of the draws has probability {mass:.3f}")
    return f"a range with {inside:.3f} of the draws has probability {mass:.3f}"


def saved_and_loaded(case: Case) -> str:
    """A run that is loaded answers as the joint that wrote it."""
    joint, again = case.joint, load(case.folder / "run")
    if isinstance(joint.model, Draws):
        demand(joint.sample(50).identical(again.sample(50)), "draws change by saving and loading")
    if isinstance(joint.model, (Proposes, Scores)):
        one, other = (j.log_prob(case.data)["log_prob"].values for j in (joint, again))
        demand(np.array_equal(one, other), "log_prob changes by saving and loading")
    return "bit for bit"


def resumed(case: Case) -> str:
    """A fit that is interrupted and resumed ends where an unbroken one does."""

    def stop(event: dict[str, Any]) -> None:
        if "step" in event:
            raise KeyboardInterrupt

    try:
        case.fit(case.data, out=case.folder / "cut", progress=stop)
    except KeyboardInterrupt:
        pass
    else:
        raise Waived("it is fitted in no step")
    resumed = case.fit(case.data, out=case.folder / "cut", resume=True)
    ours, theirs = (dict(j.model.state_dict()) for j in (case.joint, resumed))
    for name, tensor in ours.items():
        demand(bool((tensor == theirs[name]).all()), f"{name} differs after an interruption")
    return "bit for bit"


def same_call_same_answer(case: Case) -> str:
    """A query's answer is decided by its seed."""
    target, given = case.question
    first, again, other = (case.ask([target], given, draws=100, seed=s)["posterior"][target] for s in (1, 1, 2))
    demand(first.identical(again), "the same seed gives another answer")
    return "bit for bit" if not first.identical(other) else "whatever the seed"


def evidence_of_every_kind(case: Case) -> str:
    """Values, ranges, sets and readings are answered, or refused in words."""
    joint, answered, refused = case.joint, [], []
    target = case.question[0]
    for variable in joint.schema:
        if variable.name == target or variable.name not in case.row or variable.shape:
            continue
        for kind, evidence in _evidence(joint, variable, case.row[variable.name]).items():
            try:
                answer = case.ask([target], {variable.name: evidence}, draws=100)
            except UsageError as error:
                if "no strategy can answer" not in str(error):
                    raise
                refused.append(f"{kind} on {variable.support.kind}")
                continue
            drawn = joint.table({target: answer["posterior"][target].values.reshape(-1)}).values
            part = drawn[:, joint.schema.slices[target]]
            demand(np.isfinite(part).all(), f"{kind} on {variable.name!r}: draws are missing")
            for word in ("computation", "support", "calibration"):
                demand(answer.attrs[word] in ("ok", "fail", "unknown"), f"{word} is {answer.attrs[word]!r}")
            answered.append(kind)
    demand(answered, f"nothing is answered; refused: {', '.join(refused)}")
    kinds = ", ".join(sorted(set(answered)))
    return f"{len(answered)} answered ({kinds})" + (f"; refused: {', '.join(sorted(set(refused)))}" if refused else "")


def batch_equals_single(case: Case) -> str:
    """A query in a batch has the answer that it has alone, but for Monte-Carlo error."""
    target, given = case.question
    some = dict(list(given.items())[:1])
    batch = case.ask([target], rows=[given, some], draws=400, seed=5)
    worst = 0.0
    for q, one in enumerate((given, some)):
        alone = case.ask([target], one, draws=400, seed=6)
        pair = [tree["marginals"] for tree in (batch.isel(query=q), alone)]
        column = f"{target}_pmf" if f"{target}_pmf" in pair[0] else f"{target}_mean"
        a, b = (np.asarray(p[column].values, dtype=np.float64) for p in pair)
        ess = [float(np.nan_to_num(v, nan=400.0)) for v in (batch["sample_stats"]["ess"].values[q], alone.attrs["ess"])]
        scale = np.sqrt(a * (1 - a)).clip(0.02) if "pmf" in column else float(pair[1][f"{target}_sd"])
        noise = scale * np.sqrt(sum(1 / max(e, 1.0) for e in ess)) + 1e-9 + 1e-6 * np.abs(a)
        worst = max(worst, float(np.nanmax(np.abs(a - b) / noise)))
    demand(worst < _ERRORS, f"the answers differ by {worst:.1f} standard errors")
    return f"within {worst:.1f} standard errors"


def coherent(case: Case) -> str:
    """p(a, b | o) = p(a | o) p(b | a, o), with p(a | o) counted from an answer's draws; else how far off, in nats."""
    joint = case.joint
    if not isinstance(joint.model, (Proposes, Scores)):
        raise Waived("it has no log-probability")
    named = [v for v in joint.schema if v.cardinality and not v.shape and v.name in case.row]
    others = [v.name for v in joint.schema if not v.shape and v.name in case.row]
    if not named or len(others) < 2:
        raise Waived("no category and other scalar to compare by")
    variable = named[0]
    given = {name: case.row[name] for name in others if name != variable.name}
    given = dict(list(given.items())[:2])
    answer = case.ask([variable.name], given, draws=2000, budget=4000)
    drawn = answer["posterior"][variable.name].values.reshape(-1)
    rows = {name: [value] * len(_levels(variable)) for name, value in given.items()} | {
        variable.name: _levels(variable)
    }
    scored = joint.conditional_log_prob(rows, given=list(given))
    mass, error = np.exp(scored["log_prob"].values), scored["standard_error"].values
    counted = np.array([(drawn == level).mean() for level in _levels(variable)])
    ess = min(2000.0, float(np.nan_to_num(answer.attrs["ess"], nan=2000.0)))
    noise = np.sqrt(mass * (1 - mass).clip(0) / ess + (mass * error) ** 2) + 2e-3
    off = float((np.abs(counted - mass) / noise).max())
    seen = counted > 0
    nats = float(np.abs(np.log(counted[seen]) - np.log(mass[seen])).max())
    demand(off < _ERRORS, f"answers and log_prob disagree by {nats:.3f} nats ({off:.1f} standard errors)")
    return f"within {nats:.3f} nats"


def errors_say_what_is_wrong(case: Case) -> str:
    """Mistakes are refused by the right class of `genprob.errors`."""
    joint, (target, _) = case.joint, case.question
    shutil.copytree(case.folder / "run", case.folder / "torn")
    state = max((case.folder / "torn" / "checkpoints").glob("*/state.safetensors"))
    for path in (case.folder / "torn" / "checkpoints").glob("*/state.safetensors"):
        path.write_bytes(path.read_bytes()[: state.stat().st_size // 2])
    mistakes: list[tuple[str, type[GenprobError], Callable[[], Any]]] = [
        ("an unknown variable", UsageError, lambda: joint.query(["no such variable"])),
        ("a target that is given", UsageError, lambda: case.ask([target], {target: case.row[target]})),
        ("an unknown option", UsageError, lambda: case.fit(case.data, no_such_option=1)),
        ("a run that exists", UsageError, lambda: case.fit(case.data, out=case.folder / "run")),
        ("no run", UsageError, lambda: load(case.folder / "nothing")),
        ("a table without rows", DataError, lambda: case.fit(case.data.isel({joint.schema.sample_dim: slice(0, 0)}))),
        ("a checkpoint cut short", CorruptFileError, lambda: load(case.folder / "torn")),
        ("a model that is not installed", PluginError, lambda: plugins.resolve("no_such_module:Model")),
    ]
    for what, expected, attempt in mistakes:
        try:
            attempt()
        except expected:
            continue
        except Exception as error:
            raise Broken(f"{what}: {type(error).__name__} instead of {expected.__name__}: {error}") from error
        raise Broken(f"{what} is not refused")
    return f"{len(mistakes)} mistakes refused"


CLAUSES: tuple[Callable[[Case], str], ...] = (
    options_are_the_signature,
    fits,
    draws,
    log_prob,
    normalised,
    saved_and_loaded,
    resumed,
    same_call_same_answer,
    evidence_of_every_kind,
    batch_equals_single,
    coherent,
    errors_say_what_is_wrong,
)


def _levels(variable: Variable) -> list[Any]:
    """The values of a category or binary, as data hold them."""
    return list(getattr(variable.support, "levels", ())) or [0, 1]


def _evidence(joint: Joint, variable: Variable, value: Any) -> dict[str, Any]:
    """One piece of evidence of each kind that fits the support, around a value of the data."""
    if variable.cardinality is not None:
        levels = _levels(variable)
        return {"value": value, "set": OneOf(*levels[:2]), "reading": Soft({levels[0]: 0.8, levels[1]: 0.3})}
    if variable.unit is not None:
        return {"value": value}
    column = joint.schema.slices[variable.name].start
    spread = max(1.0 if variable.is_count else 0.0, 0.5 * float(joint.reference.values[:, column].std()))
    out: dict[str, Any] = {
        "value": value,
        "range": Within(float(value) - spread, float(value) + spread),
        "half-line": Within(float(value) - spread, None),
        "reading": Soft(float(value), sd=spread),
    }
    if variable.is_count or variable.cell is not None:
        out["set"] = OneOf(value, value + (variable.cell.delta if variable.cell else 1))
    return out
