"""Fitting: from data to a run and its joint."""

from __future__ import annotations

import hashlib
import math
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genprob import options as factory_options
from genprob import plugins
from genprob.data.batch import Batch, Minibatches, as_batch
from genprob.data.infer import infer_schema
from genprob.data.readers import read
from genprob.data.schema import Schema
from genprob.data.schema_file import from_toml, read_schema, to_toml
from genprob.data.table import Table
from genprob.engine import device as devices
from genprob.engine import fit as engine
from genprob.engine.capabilities import HeldOutScore
from genprob.engine.early_stopping import EarlyStopping
from genprob.engine.program import Program
from genprob.engine.randomness import Randomness
from genprob.engine.run import Run
from genprob.engine.state import State
from genprob.errors import DataError, Diverged, UsageError
from genprob.joint import Joint
from genprob.model import Model
from genprob.results.provenance import provenance
from genprob.spec import ModelSpec

DEFAULT_MODEL = "mixture"
REFERENCE_ROWS = 256
"""Rows kept with a run, against which the support of evidence is judged."""
_CHECKPOINT_SECONDS = 20.0

Progress = Callable[[dict[str, Any]], None]


def fit(
    data: Any,
    model: str | None = None,
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
        model: a model name (`genprob models` lists them); None takes the default for the data.
        out: folder of the run; None keeps a temporary one until the process ends.
        seed: of everything random; the same call gives the same joint.
        steps: total number of engine steps (for EM, iterations); None takes the inference's own.
        device: `"auto"`, `"cpu"`, `"cuda"`, ...
        inference: a name, or `{"name": "em", "tolerance": 1e-5}`; None takes the model's first.
        schema: a `Schema`, a schema file, or a partial mapping `{variable: support}`.
        resume: continue the run in `out`, bit for bit as if it had never stopped.
        sample_dim: the sample dimension, where the first shared one is not meant.
        progress: called with `{phase, step, steps, metrics, message}` about twice a second.
        options: options of the model, e.g. `components=30`.

    Raises `UsageError`, `DataError`, `RunBusyError`, `Diverged`; interrupted, it saves a checkpoint first.

    >>> import genprob
    >>> joint = genprob.fit({"x": [0.1, 1.2, 0.3, 1.5], "g": ["a", "b", "a", "b"]}, components=1)
    >>> joint.schema.names
    ('x', 'g')
    """
    say = progress or (lambda event: None)
    if seed < 0 or int(seed) != seed:
        raise UsageError(f"seed={seed!r}: must be a whole number, 0 or more")
    if steps is not None and steps < 0:
        raise UsageError(f"steps={steps}: must be 0 or more")
    if resume and out is None:
        raise UsageError("resume=True needs out=, the run to continue")
    folder = Path(out) if out is not None else _temporary()
    if resume and Run.exists(folder):
        return _resume(data, folder, steps, device, sample_dim, say, _given(model, inference, options))
    chosen = plugins.find("model", model or DEFAULT_MODEL)
    factory = plugins.resolve(chosen.factory)
    for name in options:
        factory_options.pick(factory, name)
    method = _inference(chosen, inference, steps)
    table = _table(data, schema, sample_dim)
    place = devices.choose(device)
    config = {
        "model": chosen.name,
        "options": _plain(options),
        "inference": method,
        "seed": int(seed),
        "data": _digest(table),
        "rows": len(table),
        "provenance": provenance(),
    }
    with Run.create(folder, config, to_toml(table.schema)) as run:
        for note in table.notes:
            say({"message": note})
        network = factory(table.schema, **options).to(place)
        fitting = _Fitting(run, network, config, table, place, say)
        notes = fitting.begin()
        for note in notes:
            say({"message": note})
        fitting.go()
    return Joint.load(folder, device=str(place))


def _resume(
    data: Any,
    folder: Path,
    steps: int | None,
    device: str,
    sample_dim: str | None,
    say: Progress,
    given: dict[str, Any],
) -> Joint:
    run = Run.open(folder)
    with run.lock():
        config = run.config
        for key, value in given.items():
            if value is not None and _plain(value) != config[key]:
                raise UsageError(
                    f"{folder}: was begun with {key} {config[key]!r}, not {_plain(value)!r}; "
                    "resume without it, or start another run"
                )
        schema = from_toml(run.schema, str(folder / "schema.toml"))
        table = _table(data, schema, sample_dim)
        if _digest(table) != config["data"]:
            raise DataError(f"{folder}: was begun on other data ({config['rows']} rows); resume needs the same")
        if steps is not None and steps != config["inference"].get("steps"):
            config["inference"]["steps"] = steps
            run.configure(config)
        place = devices.choose(device)
        spec = plugins.find("model", config["model"])
        network = plugins.resolve(spec.factory)(schema, **config["options"]).to(place)
        fitting = _Fitting(run, network, config, table, place, say)
        checkpoint = run.resume()
        if checkpoint is None:
            fitting.begin()
        else:
            if checkpoint.note:
                say({"message": checkpoint.note})
            fitting.restore(checkpoint.tree)
        fitting.go()
    return Joint.load(folder, device=str(place))


class _Fitting:
    """One fit in progress: the engine's loop, and what is saved and said along the way."""

    def __init__(
        self, run: Run, network: Model, config: dict[str, Any], table: Table, place: torch.device, say: Progress
    ) -> None:
        self.run, self.network, self.config, self.say, self.place = run, network, config, say, place
        order = np.random.default_rng(config["seed"]).permutation(len(table))
        self.whole = as_batch(table, device=place, dtype=network.precision)
        self.order = torch.as_tensor(order, device=place)
        self.reference = self.whole.take(self.order[:REFERENCE_ROWS].sort().values)
        self.notes: list[str] = list(table.notes)

    def begin(self) -> list[str]:
        """Prepares the model and the state before the first step."""
        rng = Randomness(self.config["seed"], self.place)
        program = self._inference()
        train, _ = self._split(program)
        with rng.swapped_in():
            notes = self.network.prepare(train, seed=self.config["seed"])
        self.notes += notes
        self.program = self._inference()  # its blocks see the tensors that `prepare` allocated
        self.state = State(self.program.blocks, rng, horizon=sum(p.steps for p in self.program.phases))
        return notes

    def restore(self, tree: dict[str, Any]) -> None:
        """Takes over a checkpoint."""
        self.network.build(tree["structure"])
        self.network.to(self.place)
        self.program = self._inference()
        rng = Randomness(self.config["seed"], self.place)
        self.state = State(self.program.blocks, rng, horizon=sum(p.steps for p in self.program.phases))
        self.state.restore(tree["state"])
        self.notes = list(tree["notes"])

    def _inference(self) -> Program:
        method = dict(self.config["inference"])
        factory = plugins.resolve(plugins.find("inference", method.pop("name")).factory)
        return factory(self.network, **method)

    def _split(self, program: Program) -> tuple[Batch, Batch | None]:
        """Training rows and held-out rows; a handful of rows is never split."""
        held = int(len(self.whole) * program.holdout)
        if held < 5 or not isinstance(self.network, HeldOutScore):
            return self.whole, None
        train = self.whole.take(self.order[held:].sort().values)
        return Batch(train.schema, train.values, train.observed, torch.arange(len(train)).to(self.place), len(train)), (
            self.whole.take(self.order[:held].sort().values)
        )

    def go(self) -> None:
        """Runs the engine to the end, saving a checkpoint now and then, at the best step, and when interrupted."""
        train, held = self._split(self.program)
        batches = Minibatches(train, self.program.batch_size, self.config["seed"])
        watcher = None
        if held is not None and isinstance(self.network, HeldOutScore):
            watcher = EarlyStopping(self.network, held, self.program.evaluate_every, self.program.patience)
        state, total = self.state, self.state.horizon
        said = saved = time.monotonic()
        kept = -1
        if state.step == 0:
            self._save()
        with _interruptible() as interrupted:
            for metrics in engine.fit(self.program.phases, state, batches):
                score = watcher.observe(state) if watcher else None
                now = time.monotonic()
                best = watcher is not None and score is not None and watcher.best(state)
                state.finished = state.finished or (watcher is not None and watcher.ended(state))
                last = state.finished or interrupted.is_set() or state.step == total
                if now - said > 0.4 or last or best or state.step == 1:
                    said = now
                    self._say(state, metrics, score)
                if best or now - saved > _CHECKPOINT_SECONDS or last:
                    saved, kept = now, state.step
                    self._save(best=best)
                if interrupted.is_set():
                    raise KeyboardInterrupt(
                        f"stopped at step {state.step}, checkpoint saved; "
                        f"continue with resume=True (--resume) and the same data"
                    )
        if kept != state.step:
            self._save()
        self.run.finish(self.run.best if watcher and self.run.best is not None else None)

    def _say(self, state: State, metrics: Mapping[str, torch.Tensor], score: float | None) -> None:
        numbers = {k: float(v) for k, v in metrics.items()}
        if score is not None:
            numbers["held_out"] = score
        watched = numbers.get(self.program.watch, 0.0)
        self.run.log(state.step, numbers)
        if not math.isfinite(watched):
            raise Diverged(
                f"{self.program.watch} became {watched} at step {state.step}; the last good checkpoint is kept in "
                f"{self.run.path}. Lower the learning rate, or look for extreme values in the data"
            )
        phase = self.program.phases[min(state.phase, len(self.program.phases) - 1)]
        self.say(
            {
                "phase": phase.name,
                "step": state.step,
                "steps": state.horizon,
                "metrics": numbers,
                "watch": self.program.watch,
            }
        )

    def _save(self, *, best: bool = False) -> None:
        tree = {
            "structure": self.network.structure(),
            "state": self.state.tree(),
            "notes": self.notes,
            "reference": {"values": self.reference.values, "observed": self.reference.observed},
        }
        self.run.save(self.state.step, tree, best)


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Ctrl-C sets an event instead of raising, so that the step in progress ends; a second Ctrl-C raises at once."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: Any) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    signal.signal(signal.SIGINT, note)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)


def _given(model: str | None, inference: Any, options: dict[str, Any]) -> dict[str, Any]:
    return {"model": model, "options": options or None}


def _inference(chosen: ModelSpec, inference: str | Mapping[str, Any] | None, steps: int | None) -> dict[str, Any]:
    """The inference as `{"name": ..., option: value}`, checked against its factory's signature."""
    asked = {"name": chosen.inferences[0]} if inference is None else inference
    asked = {"name": asked} if isinstance(asked, str) else dict(asked)
    if "name" not in asked:
        raise UsageError(f"inference={asked!r}: needs a name, e.g. {{'name': '{chosen.inferences[0]}'}}")
    name = asked.pop("name")
    spec = plugins.find("inference", name)
    if spec.name not in chosen.inferences:
        raise UsageError(f"model {chosen.name!r} cannot be fitted by {name!r}; it can by {', '.join(chosen.inferences)}")
    factory = plugins.resolve(spec.factory)
    if steps is not None:
        asked["steps"] = steps
    for option in asked:
        factory_options.pick(factory, option)
    return {"name": spec.name, **_plain(asked)}


def _table(data: Any, schema: Any, sample_dim: str | None) -> Table:
    stated = read_schema(schema) if schema is not None else None
    ds = read(data, sample_dim=sample_dim, schema=stated)
    full = stated if isinstance(stated, Schema) else infer_schema(ds, stated, sample_dim)
    table = Table.from_dataset(full, ds)
    if not len(table):
        raise DataError(f"{data}: no rows to fit")
    return table


def _digest(table: Table) -> str:
    return hashlib.sha256(np.ascontiguousarray(table.values).tobytes()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        return value.item()
    return value


def _temporary() -> Path:
    """A folder that goes when the process ends."""
    import atexit
    import shutil

    folder = Path(tempfile.mkdtemp(prefix="genprob-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder / "run"
