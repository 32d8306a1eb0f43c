"""Fitting: from data to a run and its joint."""

from __future__ import annotations

import atexit
import hashlib
import math
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genprob import plugins
from genprob.data.batch import Batch, Minibatches, as_batch
from genprob.data.infer import infer_schema
from genprob.data.readers import read
from genprob.data.schema import Schema
from genprob.data.schema_file import from_toml, read_schema, to_toml
from genprob.data.statement import statements
from genprob.data.table import Table
from genprob.engine import device as devices
from genprob.engine import fit as engine
from genprob.engine.capabilities import HeldOutScore
from genprob.engine.early_stopping import EarlyStopping
from genprob.engine.history import History, as_dataset
from genprob.engine.interrupt import Interrupt
from genprob.engine.program import Program
from genprob.engine.randomness import Randomness
from genprob.engine.run import CHECKPOINTS, CONFIG, MANIFEST, POSTERIOR, Run
from genprob.engine.scope import running
from genprob.engine.state import State
from genprob.errors import CorruptFileError, DataError, Diverged, UsageError
from genprob.joint import Joint
from genprob.model import Model
from genprob.request import DEFAULT_MODEL, Request, counted
from genprob.results.file import write
from genprob.results.posterior import posterior_tree
from genprob.results.provenance import provenance

__all__ = ["DEFAULT_MODEL", "HISTORY", "REFERENCE_ROWS", "fit"]

HISTORY = "fit.nc"
REFERENCE_ROWS = 256
"""Rows kept with a run, against which the support of evidence is judged."""
_CHECKPOINT_SECONDS = 20.0
_PROGRESS_SECONDS = 0.4
_LEAST_HELD = 5

Progress = Callable[[dict[str, Any]], None]


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
            name for this process; None takes the default for the data.
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
            _continue(run, request, wanted, data, schema, sample_dim, place, say)
        return Joint.load(out, device=str(place))
    request = Request.of(model, options, inference, steps, seed)
    table = _table(data, schema, sample_dim)
    folder = Path(out) if out is not None else _temporary()
    fitting = _Fitting(request, table, place, say)
    record = {"data": _digest(table), "rows": len(table), "provenance": provenance()}
    with (
        Run.create(folder, request.config() | record, to_toml(table.schema)) as run,
        _advised("give out= to keep what was learned" if out is None else _how_to_go_on(run)),
    ):
        try:
            fitting.begin(run)
        except Exception:
            # Nothing was learned: the folder is as free as it was.
            for name in (MANIFEST, CONFIG):
                (run.path / name).unlink(missing_ok=True)
            raise
        fitting.go()
    return Joint.load(folder, device=str(place))


def _continue(
    run: Run,
    request: Request,
    steps: int | None,
    data: Any,
    schema: Any,
    sample_dim: str | None,
    place: torch.device,
    say: Progress,
) -> None:
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
    fitting = _Fitting(request, table, place, say)
    if run.finished and not more and _sound(run):
        return
    checkpoint = run.resume()
    with _advised(_how_to_go_on(run)):
        if checkpoint is None:
            fitting.begin(run)
        else:
            if checkpoint.note:
                say({"message": checkpoint.note})
            fitting.restore(run, checkpoint.tree)
        if more:
            run.configure(config | request.config())
        fitting.go()


class _Fitting:
    """One fit in progress: the engine's loop, and what is saved and said along the way."""

    run: Run
    program: Program
    state: State

    def __init__(self, request: Request, table: Table, place: torch.device, say: Progress) -> None:
        self.request, self.place, self.say = request, place, say
        with running(Randomness(request.seed, place)):  # the starting values of a network are random
            self.network = request.build(table.schema).to(place)
        self.planned = request.program(self.network)
        order = np.random.default_rng(request.seed).permutation(len(table))
        self.whole = as_batch(table, device=place, dtype=self.network.precision)
        self.order = torch.as_tensor(order, device=place)
        self.reference = self.whole.take(self.order[:REFERENCE_ROWS].sort().values)
        self.notes: list[str] = [*table.notes, *_misgivings(request, table)]
        self.settled: list[str] = []

    def begin(self, run: Run) -> None:
        """Prepares the model and the state before the first step."""
        self.run = run
        rng = Randomness(self.request.seed, self.place)
        train, _ = self._split()
        with running(rng):
            self.notes += self.network.prepare(train, seed=self.request.seed)
        for note in self.notes:
            self.say({"message": note})
        self._plan(rng)
        if self.program.check is not None:
            with running(Randomness(self.request.seed, self.place)):
                self.program.check(train)
        self._save()

    def restore(self, run: Run, tree: dict[str, Any]) -> None:
        """Takes over a checkpoint."""
        self.run = run
        self.network.build(tree["structure"])
        self.network.to(self.place)
        self._plan(Randomness(self.request.seed, self.place))
        self.state.restore(tree["state"])
        # What was settled after the last step is settled anew.
        self.notes = list(tree["notes"])[: len(tree["notes"]) - tree.get("settled", 0)]
        step, horizon = self.state.step, self.state.horizon
        if step > horizon:
            raise UsageError(f"{run.path}: has done {step} steps already; steps={horizon} would be fewer")
        if self.state.finished and step < horizon:
            self.say({"message": f"the fit ended by itself at step {step}; more steps would not change it"})

    def _plan(self, rng: Randomness) -> None:
        """The program and the state, whose blocks see the tensors that the model has allocated by now."""
        self.program = self.request.program(self.network)
        self.state = State(self.program.blocks, rng, horizon=sum(p.steps for p in self.program.phases))

    def _split(self) -> tuple[Batch, Batch | None]:
        """Training rows and held-out rows; a handful of rows is never split."""
        held = int(len(self.whole) * self.planned.holdout)
        if held < _LEAST_HELD or not isinstance(self.network, HeldOutScore):
            return self.whole, None
        train = self.whole.take(self.order[held:].sort().values)
        rows = torch.arange(len(train), device=self.place)
        return replace(train, index=rows, total=len(train)), self.whole.take(self.order[:held].sort().values)

    def go(self) -> None:
        """Runs the engine to the end, saving a checkpoint now and then, at the best step, and when interrupted."""
        train, held = self._split()
        batches = Minibatches(train, self.program.batch_size, self.request.seed)
        watcher = None
        if held is not None and isinstance(self.network, HeldOutScore):
            watcher = EarlyStopping(self.network, held, self.program.evaluate_every, self.program.patience)
        state, history = self.state, History(self.run, self.state.horizon)
        said = saved = time.monotonic()
        first, phase, kept = state.step + 1, state.phase, state.step
        with Interrupt() as interrupt, self._divergence():
            for metrics in engine.fit(self.program.phases, state, batches):
                score = watcher.observe(state) if watcher else None
                best = watcher is not None and score is not None and watcher.best(state)
                state.finished = state.finished or (watcher is not None and watcher.ended(state))
                if score is not None:
                    metrics["held_out"] = torch.tensor(score)
                history.record(state.step, metrics, always=score is not None or state.finished)
                now, stop = time.monotonic(), interrupt.asked
                if state.finished or state.step == state.horizon:
                    self._conclude(train)
                save = (
                    best or stop or state.finished or state.step == state.horizon or now - saved > _CHECKPOINT_SECONDS
                )
                if save or state.step == first or now - said > _PROGRESS_SECONDS:
                    said = now
                    history.flush()
                    try:
                        self._say(self.program.phases[phase].name, metrics)
                    except KeyboardInterrupt:
                        stop = True
                if save or stop:
                    saved, kept = now, state.step
                    self._save(best=best)
                if stop:
                    raise KeyboardInterrupt(f"stopped at step {state.step}, checkpoint saved")
                phase = state.phase
            if kept != state.step:
                history.flush()
                self._save()
        attrs = {"model": self.request.model, "inference": self.request.inference["name"], "watch": self.program.watch}
        self.run.keep(HISTORY, lambda path: write(as_dataset(self.run.events(), attrs), path))
        self._keep_posterior(train, attrs)
        self.run.finish(self.run.best if watcher else None)

    def _conclude(self, train: Batch) -> None:
        """Lets the model settle what rests on the fitted parameters, before the last checkpoint."""
        if self._not_a_number() is not None:
            return  # the checkpoint that follows says so
        with running(Randomness(self.request.seed, self.place)):
            notes = self.network.conclude(train, seed=self.request.seed)
        for note in notes:
            self.say({"message": note})
        self.settled = notes

    def _keep_posterior(self, train: Batch, attrs: Mapping[str, str]) -> None:
        """The draws of the model's unknowns, where they are the inference's answer."""
        if self.program.posterior is None:
            return
        with running(self.state.rng), torch.no_grad():
            drawn = self.program.posterior(self.state, train)
        if drawn is not None:
            unknowns, stats = ({k: v.cpu().numpy() for k, v in part.items()} for part in (drawn.unknowns, drawn.stats))
            tree = posterior_tree(unknowns, stats, attrs, roles=drawn.roles, dims=drawn.dims)
            self.run.keep(POSTERIOR, lambda path: write(tree, path))

    def _say(self, phase: str, metrics: Mapping[str, Tensor]) -> None:
        """Tells the caller where the fit stands; a loss that is no number ends it."""
        numbers = {name: float(value) for name, value in metrics.items()}
        watched = numbers.get(self.program.watch, 0.0)
        if not math.isfinite(watched):
            raise self._diverged(f"{self.program.watch} became {watched}")
        event = {"phase": phase, "step": self.state.step, "steps": self.state.horizon}
        self.say(event | {"metrics": numbers, "watch": self.program.watch})

    def _save(self, *, best: bool = False) -> None:
        broken = self._not_a_number()
        if broken is not None:
            raise self._diverged(f"parameter {broken} is no number")
        tree = {
            "structure": self.network.structure(),
            "state": self.state.tree(),
            "notes": [*self.notes, *self.settled],
            "settled": len(self.settled),
            "reference": {"values": self.reference.values, "observed": self.reference.observed},
        }
        self.run.save(self.state.step, tree, best)

    @contextmanager
    def _divergence(self) -> Iterator[None]:
        """What a step makes of parameters that have run away: a factorisation that fails, values out of a support."""
        try:
            yield
        except torch.linalg.LinAlgError as error:
            raise self._diverged(f"a matrix lost its definiteness ({str(error).splitlines()[0]})") from error
        except (ValueError, ArithmeticError, RuntimeError) as error:
            if self._not_a_number() is None:
                raise
            raise self._diverged(str(error).splitlines()[0]) from error

    def _not_a_number(self) -> str | None:
        """The first parameter of the model that holds a value which is no finite number."""
        found = ((n, p) for n, p in self.network.named_parameters() if not bool(torch.isfinite(p).all()))
        return next((name for name, _ in found), None)

    def _diverged(self, what: str) -> Diverged:
        return Diverged(
            f"{what} after step {self.state.step}; the last good checkpoint is kept in {self.run.path}. "
            "Lower the learning rate, or look for extreme values in the data"
        )


def _misgivings(request: Request, table: Table) -> list[str]:
    """What is allowed and hardly meant."""
    out = []
    if request.steps == 0:
        out.append("steps=0: nothing is learned beyond the model's start; leave --steps out to have it fitted")
    if len(table) == 1:
        out.append("1 row: it says nothing of spreads and dependence, which are the model's own; give more rows")
    return out


@contextmanager
def _advised(advice: str) -> Iterator[None]:
    """Puts advice into a `KeyboardInterrupt`."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(f"{str(error) or 'stopped'}; {advice}") from None


def _how_to_go_on(run: Run) -> str:
    return f"continue {run.path} with resume=True (--resume) and the same data"


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
