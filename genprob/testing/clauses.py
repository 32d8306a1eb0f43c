"""The clauses of the contract, but for those of failures: each says in a line what was found, or raises `Broken`."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from genprob import plugins
from genprob.data.schema import Variable
from genprob.errors import UsageError
from genprob.joint import Joint, load
from genprob.options import REQUIRED
from genprob.options import options as options_of
from genprob.query.capabilities import Draws, Proposes, Scores
from genprob.query.evidence import OneOf, Soft, Within
from genprob.testing.case import Case, Waived, demand

_ERRORS = 5.0
"""Standard errors by which two estimates of one number may differ."""


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
        raise Waived("it cannot be sampled: no draw(draws)")
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
        raise Waived("it has no log-probability: no log_evidence(queries)")
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
        raise Waived("it has no log-probability: no log_evidence(queries)")
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
        raise Waived("it has no log-probability: no log_evidence(queries)")
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
