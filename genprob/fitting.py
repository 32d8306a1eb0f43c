"""Fitting: from data to a run and its joint."""

from __future__ import annotations

import atexit
import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genprob import atomic, plugins
from genprob.choice import Choice, choose, stated
from genprob.contest import Contest
from genprob.data.infer import infer_schema
from genprob.data.readers import read
from genprob.data.schema import Schema
from genprob.data.schema_file import from_toml, read_schema, to_toml
from genprob.data.statement import statements
from genprob.data.table import Table
from genprob.engine import device as devices
from genprob.engine.run import CHECKPOINTS, CONFIG, MANIFEST, Run
from genprob.errors import CorruptFileError, DataError, UsageError
from genprob.joint import Joint
from genprob.model import Model
from genprob.request import DEFAULT_MODEL, Request, counted
from genprob.results.file import open as open_result
from genprob.results.file import write
from genprob.results.provenance import provenance
from genprob.training import HISTORY, REFERENCE_ROWS, Progress, Training

__all__ = ["DEFAULT_MODEL", "HISTORY", "REFERENCE_ROWS", "fit"]

_MOST_TRAINING = 20_000
"""Rows that the rival of a chosen model is fitted to."""
_MOST_HELD = 1000
"""Rows on which the two are compared."""


def fit(
    data: Any,
    model: str | type[Model] | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    steps: int | None = None,
    device: str = "auto",
    inference: str | Mapping[str, Any] | None = None,
    schema: Any = None,
    resume: bool = False,
    *,
    sample_dim: str | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Joint:
    """Learns the joint distribution of all variables of a data set.

    Arguments:
        data: a path, a data frame, an `xr.Dataset`, a mapping of arrays, or the name of a data set.
        model: a model name (`genprob models` lists them), or a `genprob.Model` subclass, which is enlisted under its
            name for this process. None chooses by the data (`genprob.choice`) and says why: the mixture, or for a
            large table the any-order network if it gives held-out rows a higher probability than the mixture.
        out: folder of the run; None keeps a temporary one until the process ends.
        seed: of everything random; the same call gives the same joint.
        steps: total number of engine steps (for EM, iterations); None takes the inference's own.
        device: `"auto"`, `"cpu"`, `"cuda"`, ...
        inference: a name, or `{"name": "em", "tolerance": 1e-5}`; None takes the model's first.
        schema: a `Schema`, a schema file, or a partial mapping `{variable: support}`.
        resume: continue the run in `out`, bit for bit as if it had never stopped (`steps` may be larger); begin it
            where there is none. What is not said again is as the run was begun; what is must agree with it.
        sample_dim: the sample dimension, where the first shared one is not meant.
        progress: called about twice a second with `{phase, step, steps, metrics, watch}`, and with `{message}`. A
            `KeyboardInterrupt` that it raises ends the fit as Ctrl-C does.
        options: options of the model, e.g. `components=30`.

    Raises `UsageError`, `DataError`, `RunBusyError`, `Diverged`; interrupted, it saves a checkpoint first.

    >>> import genprob
    >>> joint = genprob.fit({"x": [0.1, 1.2, 0.3, 1.5], "g": ["a", "b", "a", "b"]}, components=1)
    >>> joint.schema.names
    ('x', 'g')
    """
    say = progress or (lambda event: None)
    place = devices.choose(device)
    if isinstance(model, type):
        model = plugins.enlist(model)
    if resume and out is None:
        raise UsageError("resume=True needs out=, the run to continue")
    if out is not None and not Run.exists(out) and any(Path(out, CHECKPOINTS).glob("*")):
        Run.open(out)  # which says what is missing; begun anew, it would lose its checkpoints
    if resume and out is not None and Run.exists(out):
        with Run.open(out) as run:
            request = Request.read(run.config)
            request.check(model, options, inference, seed)
            said = inference.get("steps") if isinstance(inference, Mapping) else None
            wanted = counted(said) if steps is None else steps
            training, table = _continue(run, request, wanted, data, schema, sample_dim, place, say)
            made = Choice.read(run.config)
        if made is not None:
            _decide(Path(out), training, table, made, place, say)
        return Joint.load(out, device=str(place))
    request = stated(options, inference, steps, seed) if model is None else None
    named = model is not None or request is not None
    request = request or Request.of(model, options, inference, steps, seed)
    table = _table(data, schema, sample_dim)
    folder = Path(out) if out is not None else _temporary()
    choice = None if named else choose(table)
    if choice is not None:
        say({"message": choice.why})
        request = Request.of(choice.model, {}, None, None, seed)
    training = _learn(request, table, folder, place, say, choice, kept=out is not None)
    if choice is not None and choice.rival is not None:
        _decide(folder, training, table, choice, place, say)
    return Joint.load(folder, device=str(place))


def _learn(
    request: Request,
    table: Table,
    folder: Path,
    place: torch.device,
    say: Progress,
    choice: Choice | None = None,
    *,
    kept: bool = True,
) -> Training:
    """A new run in a folder, from its first step to its last."""
    training = Training(request, table, place, say)
    record = {"data": _digest(table), "rows": len(table), "provenance": provenance()}
    record |= {} if choice is None else {"choice": choice.record}
    new, refused = not folder.exists(), False
    try:
        with (
            Run.create(folder, request.config() | record, to_toml(table.schema)) as run,
            _advised(_how_to_go_on(folder) if kept else "give out= to keep what was learned"),
        ):
            try:
                training.begin(run)
            except Exception:
                refused = True  # Nothing was learned: the folder is as free as it was.
                for name in (MANIFEST, CONFIG):
                    (run.path / name).unlink(missing_ok=True)
                raise
            training.go()
    finally:
        if new and refused:
            shutil.rmtree(folder, ignore_errors=True)
    return training


def _decide(folder: Path, training: Training, table: Table, choice: Choice, place: torch.device, say: Progress) -> None:
    """Fits the rival to the rows that the model has learned from, and keeps the better of both by the others."""
    assert choice.rival is not None
    request = training.request
    train, held = training.parts()
    train, held = np.sort(train[:_MOST_TRAINING]), np.sort(held[:_MOST_HELD])
    rival = Request.of(choice.rival, {}, None, None, request.seed)
    apart = _temporary()
    with _advised(_how_to_go_on(folder)):
        say({"message": f"comparing with {choice.rival}, fitted to {len(train)} of the rows, on {len(held)} others"})
        _learn(rival, table.rows(train), apart, place, lambda event: None)
        joints = {
            name: Joint.load(path, device=str(place)) for name, path in ((request.model, folder), (rival.model, apart))
        }
        contest = Contest.of(joints, table.rows(held).to_dataset(), request.seed)
        shutil.rmtree(apart, ignore_errors=True)
        say({"message": contest.line})
        if contest.winner == rival.model:
            with atomic.replacing(folder) as fresh:
                _learn(rival, table, fresh, place, say, choice)
    with Run.open(folder) as run:
        run.configure(run.config | {"choice": choice.record | contest.record})
        history = open_result(folder / HISTORY)
        told = {f"held_out_{name}": score for name, score in contest.record["held_out"].items()}
        run.keep(HISTORY, lambda path: write(history.assign_attrs(choice=contest.line, **told), path))


def _continue(
    run: Run,
    request: Request,
    steps: int | None,
    data: Any,
    schema: Any,
    sample_dim: str | None,
    place: torch.device,
    say: Progress,
) -> tuple[Training, Table]:
    frozen = from_toml(run.schema, str(run.path / "schema.toml"))
    if schema is not None and _unnoted(_table(data, schema, sample_dim).schema) != _unnoted(frozen):
        raise UsageError(f"{run.path}: was begun with another schema; resume without schema=, or start another run")
    table = _table(data, frozen, sample_dim)
    config = run.config
    if _digest(table) != config["data"]:
        raise DataError(f"{run.path}: was begun on other data ({config['rows']} rows); resume needs the same")
    more = steps is not None and steps != request.steps
    if more and steps is not None:
        request = request.lasting(steps)
    fitting = Training(request, table, place, say)
    if run.finished and not more and _sound(run):
        return fitting, table
    checkpoint = run.resume()
    with _advised(_how_to_go_on(run.path)):
        if checkpoint is None:
            fitting.begin(run)
        else:
            if checkpoint.note:
                say({"message": checkpoint.note})
            fitting.restore(run, checkpoint.tree)
        if more:
            run.configure(config | request.config())
        fitting.go()
    return fitting, table


@contextmanager
def _advised(advice: str) -> Iterator[None]:
    """Puts advice into a `KeyboardInterrupt`."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(f"{str(error) or 'stopped'}; {advice}") from None


def _how_to_go_on(run: Path) -> str:
    return f"continue {run} with resume=True (--resume) and the same data"


def _sound(run: Run) -> bool:
    """True if the answer of a finished run can be loaded."""
    try:
        run.load()
    except CorruptFileError:
        return False
    return True


def _table(data: Any, schema: Any, sample_dim: str | None) -> Table:
    stated = read_schema(schema) if schema is not None else None
    notes: dict[str, str | None] = {}
    if isinstance(stated, Schema) and stated is not schema:
        notes = {v.name: v.note for v in stated}
        stated = statements({v.name: v for v in stated})  # a file speaks of what it names; the rest is guessed
    ds = read(data, sample_dim=sample_dim, schema=stated)
    full = infer_schema(ds, stated, sample_dim)
    full = replace(full, variables=tuple(replace(v, note=notes.get(v.name, v.note)) for v in full))
    table = Table.from_dataset(full, ds)
    if not len(table.schema):
        raise UsageError(f"{data if isinstance(data, (str, Path)) else 'data'}: every variable is ignored")
    if not len(table):
        raise DataError(f"{data}: no rows to fit")
    return table


def _unnoted(schema: Schema) -> Schema:
    """The schema without the reasons for its guesses."""
    return replace(schema, variables=tuple(replace(v, note=None) for v in schema.modelled))


def _digest(table: Table) -> str:
    """sha256 of the cells; every kind of NaN is the same hole."""
    return hashlib.sha256(np.where(table.observed, table.values, np.nan).tobytes()).hexdigest()


def _temporary() -> Path:
    """A folder that goes when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="genprob-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder / "run"
