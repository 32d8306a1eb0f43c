"""The clauses of failures: every class of `genprob.errors` that a model can meet is provoked and must come in words."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from genprob import atomic, plugins
from genprob.engine import fit as engine
from genprob.engine.run import CHECKPOINTS, Run
from genprob.errors import (
    CorruptFileError,
    DataError,
    Diverged,
    GenprobError,
    PluginError,
    ResourceError,
    RunBusyError,
    UnreliableError,
    UsageError,
)
from genprob.joint import load
from genprob.query.capabilities import Draws
from genprob.query.evidence import Within
from genprob.testing.case import Broken, Case, Waived, demand


def refused(what: str, expected: type[GenprobError], attempt: Callable[[], Any]) -> GenprobError:
    """The error that an attempt ends in; raises `Broken` for another one, for none, and for more than one line."""
    try:
        attempt()
    except expected as error:
        demand(str(error).strip() and "\n" not in str(error), f"{what}: is not told in one line")
        return error
    except Exception as error:
        raise Broken(f"{what}: {type(error).__name__} instead of {expected.__name__}: {error}") from error
    raise Broken(f"{what} is not refused")


def errors_say_what_is_wrong(case: Case) -> str:
    """Mistakes are refused by the right class of `genprob.errors`."""
    joint, (target, _) = case.joint, case.question
    mistakes: list[tuple[str, type[GenprobError], Callable[[], Any]]] = [
        ("an unknown variable", UsageError, lambda: joint.query(["no such variable"])),
        ("a target that is given", UsageError, lambda: case.ask([target], {target: case.row[target]})),
        ("an unknown option", UsageError, lambda: case.fit(case.data, no_such_option=1)),
        ("a run that exists", UsageError, lambda: case.fit(case.data, out=case.folder / "run")),
        ("no run", UsageError, lambda: load(case.folder / "nothing")),
        ("a table without rows", DataError, lambda: case.fit(case.data.isel({joint.schema.sample_dim: slice(0, 0)}))),
        ("a model that is not installed", PluginError, lambda: plugins.resolve("no_such_module:Model")),
    ]
    for what, expected, attempt in mistakes:
        refused(what, expected, attempt)
    return f"{len(mistakes)} mistakes refused"


def damage_is_found(case: Case) -> str:
    """A checkpoint that was cut short, and one of which a byte was altered, are not loaded (exit code 4)."""
    _ = case.joint

    def cut(path: Path) -> None:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    def alter(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)

    for what, harm in (("cut short", cut), ("altered", alter)):
        torn = case.folder / f"torn-{what.split()[0]}"
        shutil.copytree(case.folder / "run", torn)
        for path in (torn / CHECKPOINTS).glob("*/state.safetensors"):
            harm(path)
        refused(f"a checkpoint {what}", CorruptFileError, lambda torn=torn: load(torn))
    return "cut short or altered by a bit: CorruptFileError"


def one_writer_at_a_time(case: Case) -> str:
    """A run that somebody writes is refused to a second writer (exit code 5) and stays as it is."""
    _ = case.joint
    path = case.folder / "run"
    with Run.open(path):
        refused(
            "a second writer",
            RunBusyError,
            lambda: case.fit(case.data, steps=case.steps + 1, out=path, resume=True),
        )
    Run.open(path).verify()
    return "a second writer: RunBusyError, the run is untouched"


def divergence_is_told(case: Case) -> str:
    """A fit whose parameters run away ends (exit code 7), and the run holds the last good checkpoint."""
    if not case.steps:
        raise Waived("it is fitted in no step")
    path = case.folder / "diverged"
    with _running_away():
        try:
            refused("a parameter that is no number", Diverged, lambda: case.fit(case.data, out=path))
        except _Nothing:
            raise Waived("no move writes a parameter") from None
    saved = load(path).model
    demand(all(bool(torch.isfinite(p).all()) for p in saved.parameters()), "the checkpoint that is kept is no number")
    return f"Diverged, checkpoint {Run.open(path).step} is kept and sound"


class _Nothing(Exception):
    pass


@contextmanager
def _running_away() -> Iterator[None]:
    """From the second step on every parameter that a fit moves is NaN."""
    steps = engine.fit

    def poisoned(phases: Any, state: Any, batches: Any = None) -> Iterator[Any]:
        for metrics in steps(phases, state, batches):
            if state.step > 1 or state.finished or state.step == state.horizon:
                moved = [t for t in state.blocks.census().tensors.values() if isinstance(t, torch.nn.Parameter)]
                if not moved:
                    raise _Nothing
                with torch.no_grad():
                    for parameter in moved:
                        parameter.fill_(torch.nan)
            yield metrics

    with mock.patch.object(engine, "fit", poisoned):
        yield


def unreachable_evidence_is_told(case: Case) -> str:
    """Evidence that a strategy cannot reach within its budget has no answer rather than a made-up one (exit code 8)."""
    joint = case.joint
    if not isinstance(joint.model, Draws):
        raise Waived("it cannot be sampled: no draw(draws)")
    for variable in joint.schema:
        if variable.shape or variable.cardinality or variable.name not in case.row or variable.unit is not None:
            continue
        column = joint.reference.values[:, joint.schema.slices[variable.name].start]
        far = float(column.max()) + 0.5 * float(column.max() - column.min())
        others = [v.name for v in joint.schema if v.name != variable.name]
        if not others or not bool(variable.support.contains(torch.tensor(far).numpy())):
            continue
        given = {variable.name: Within(far, None)}
        if not any(w.offered for w in joint.explain(others[:1], given).offers if w.strategy == "rejection"):
            raise Waived("rejection does not answer for it, and other strategies reach more")
        refused(
            "evidence out of reach", UnreliableError, lambda given=given, others=others: joint.query(
                others[:1], given, strategy="rejection", budget=4, draws=4
            ),
        )  # fmt: skip
        return "UnreliableError where no draw meets the evidence"
    raise Waived("no number whose tail could be asked")


def a_full_disk_is_told(case: Case) -> str:
    """A disk that cannot hold a checkpoint is told before anything is lost (exit code 9)."""
    path = case.folder / "full"
    shutil.copytree(case.folder / "run", path)
    before = Run.open(path).step
    with mock.patch.object(atomic, "free_space", lambda path: 0):
        refused("a full disk", ResourceError, lambda: case.fit(case.data, steps=case.steps + 2, out=path, resume=True))
    demand(Run.open(path).step == before, "the checkpoint is another one")
    load(path)
    return "ResourceError, the checkpoint before it is kept"
