"""The run folder: what `fit` writes and `load` reads.

    config.json  schema.toml          what was asked, and the frozen schema
    LOCK                              held by the process that writes
    events.jsonl                      one line of metrics per print
    checkpoints/<step>/               the last two and the best
    fit.nc  posterior.nc  results/    the history, the draws of unknowns, the answers kept with the run
    MANIFEST.json                     size and sha256 of everything that load reads, written last

A run may be read while it is written: a reader sees the last manifest. Killed at any moment it keeps the last
complete checkpoint.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from genprob import atomic, sealed
from genprob.engine.events import Events
from genprob.engine.lock import Lock
from genprob.errors import CorruptFileError, UsageError

CONFIG, SCHEMA, LOCK, EVENTS, MANIFEST = "config.json", "schema.toml", "LOCK", "events.jsonl", "MANIFEST.json"
CHECKPOINTS, RESULTS, POSTERIOR = "checkpoints", "results", "posterior.nc"
_FIRST = {CONFIG, SCHEMA, LOCK, EVENTS, CHECKPOINTS, RESULTS}
_T = TypeVar("_T")
_FORMAT = 1
_KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as loaded: its step, its tree, and a note where it is not the one that was looked for."""

    step: int
    tree: dict[Any, Any]
    note: str | None = None


class Run:
    """One run folder, opened by `Run.create` (locked, to write) or `Run.open` (to read; `lock` to write on).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with Run.create(Path(folder) / "a", {"seed": 0}, "") as run:
    ...         run.log(1, {"loss": 2.0})
    ...     Run.open(run.path).events()
    [{'step': 1, 'loss': 2.0}]
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = Lock(self.path / LOCK)
        self._events = Events(self.path / EVENTS)
        self._manifest: dict[str, Any] = {}

    @staticmethod
    def exists(path: str | Path) -> bool:
        """True where a run was begun (its manifest is there, sound or not)."""
        return (Path(path) / MANIFEST).exists()

    @classmethod
    def create(cls, path: str | Path, config: Mapping[str, Any], schema: str) -> Run:
        """A new, locked run at `path`.

        Arguments:
            path: a folder that does not exist or is empty.
            config: everything JSON that the fit was asked to do.
            schema: the text of `schema.toml`.

        Raises `UsageError` for a folder in use, `RunBusyError` where another process is writing it,
        `CorruptFileError` where there are checkpoints that no manifest vouches for.
        """
        run = cls(path)
        names = {entry.name for entry in run.path.iterdir()} if run.path.is_dir() else set()
        if run.path.exists() and not run.path.is_dir():
            raise UsageError(f"{path}: is a file; a run is a folder, choose another name")
        if names and LOCK not in names:
            raise UsageError(f"{path}: is not empty and not a run; choose another folder")
        try:
            for name in (CHECKPOINTS, RESULTS):
                (run.path / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise atomic.explain(error, run.path) from None
        run.lock()
        try:
            # A fit killed before its first manifest leaves only these: the run begins anew.
            begun = {name for name in names if not name.startswith(".")} - _FIRST
            if begun:
                raise UsageError(
                    f"{path}: is a run already; resume it (resume=True, --resume) or choose another folder"
                )
            if any(not entry.name.startswith(".") for entry in (run.path / CHECKPOINTS).iterdir()):
                raise CorruptFileError(
                    f"{run.path / MANIFEST}: missing, yet there are checkpoints; a new run would delete them: "
                    "put the manifest back, or choose another folder"
                )
            atomic.remove(run.path / EVENTS)
            run._manifest = {"format": _FORMAT, "files": {}, "checkpoint": None, "best": None, "finished": False}
            for name, text in ((CONFIG, _json(config)), (SCHEMA, schema)):
                atomic.write(run.path / name, text)
                run._manifest["files"][name] = sealed.fingerprint(run.path / name)
            run._write_manifest()
        except BaseException:
            run.release()
            raise
        return run

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """The run at `path`, to read.

        Raises `UsageError` where there is no run, `CorruptFileError` where its manifest, configuration or schema
        were altered.
        """
        run = cls(path)
        if not run.path.exists():
            raise UsageError(f"{path}: no such run; `genprob fit DATA --out {path}` makes one")
        if not run.path.is_dir():
            raise UsageError(f"{path}: is a file, not a run folder")
        if not run.exists(path):
            if (run.path / CONFIG).exists():
                raise CorruptFileError(f"{run.path / MANIFEST}: missing; without it nothing in the run can be trusted")
            raise UsageError(f"{path}: is not a genprob run (no {MANIFEST}, no {CONFIG})")
        run._read_manifest()
        run._steady(lambda: [run._check(name) for name in (CONFIG, SCHEMA)])
        return run

    # -- writing: one process at a time

    def lock(self) -> Run:
        """Makes this process the writer. Raises `RunBusyError` naming the process that is."""
        if self._lock.held:
            return self
        self._lock.take()
        for left in self.path.glob(".*.tmp"):  # by a writer that was killed
            atomic.remove(left)
        if self.exists(self.path):
            self._read_manifest()  # somebody may have written since this handle was opened
        return self

    def release(self) -> None:
        """Gives the run back to other writers."""
        self._events.close()
        self._lock.drop()

    def __enter__(self) -> Run:
        return self.lock()

    def __exit__(self, *_: object) -> None:
        self.release()

    def log(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Appends one line to `events.jsonl` and flushes it."""
        self._writer()
        self._events.append(step, metrics)

    def save(self, step: int, tree: dict[Any, Any], best: bool = False) -> None:
        """Keeps a checkpoint; from now on load takes it. Of the older ones the newest and the best stay."""
        from genprob.engine import checkpoint

        self._writer()
        step = int(step)
        entries: dict[str, Any] = {}
        path = self.path / CHECKPOINTS / str(step)
        with atomic.replacing(path) as folder:
            checkpoint.write(folder, path, tree)
            for name in (checkpoint.STRUCTURE, checkpoint.TENSORS):
                entries[f"{CHECKPOINTS}/{step}/{name}"] = sealed.fingerprint(folder / name)
            self._vouch_for_both(entries)
        kept = {*sorted({*self.steps(), step})[-_KEPT:], step}
        self._manifest["checkpoint"] = step
        if best:
            self._manifest["best"] = step
        if self._manifest["best"] is not None:
            kept.add(self._manifest["best"])
        files = self._manifest["files"] | entries
        self._manifest["files"] = {k: v for k, v in files.items() if _step_of(k) is None or _step_of(k) in kept}
        self._write_manifest()
        for other in (self.path / CHECKPOINTS).iterdir():
            if other.name not in map(str, kept):
                atomic.remove(other)

    def keep(self, name: str, content: bytes | str | Callable[[Path], object]) -> Path:
        """Writes a file that load reads (`fit.nc`, an audit) and enters it in the manifest."""
        self._writer()
        self._replace(name, content)
        return self.path / name

    def configure(self, config: Mapping[str, Any]) -> None:
        """Replaces the configuration, e.g. when a resumed fit is given more steps."""
        self.keep(CONFIG, _json(config))

    def finish(self, checkpoint: int | None = None) -> None:
        """Says that the fit is complete and which step is the answer (the last by default)."""
        self._writer()
        if checkpoint is not None:
            if checkpoint not in self.steps():
                raise UsageError(f"{self.path}: holds no checkpoint {checkpoint}; it holds {self._listed()}")
            self._manifest["checkpoint"] = int(checkpoint)
        self._manifest["finished"] = True
        self._write_manifest()

    def resume(self) -> Checkpoint | None:
        """The newest checkpoint that verifies, to continue from; None if there is none yet.

        Later events are struck out, later checkpoints forgotten, and the run counts as unfinished again.
        """
        from genprob.engine import checkpoint

        self._writer()
        steps, broken = sorted(self.steps(), reverse=True), []
        for step in steps:
            try:
                self._check_step(step)
                tree = checkpoint.load(self.path / CHECKPOINTS / str(step))
                break
            except CorruptFileError as error:
                broken.append((step, error))
        else:
            if broken:
                raise CorruptFileError(f"{broken[0][1]}; no older checkpoint verifies, so the run cannot be resumed")
            return None
        lost = {s for s, _ in broken}
        files = {k: v for k, v in self._manifest["files"].items() if _step_of(k) not in lost}
        best = self._manifest["best"]
        self._manifest |= {
            "files": files,
            "checkpoint": step,
            "best": None if best in lost else best,
            "finished": False,
        }
        self._write_manifest()
        self._events.strike(step)
        note = f"{broken[0][1]}; resuming from checkpoint {step} instead" if broken else None
        return Checkpoint(step, tree, note)

    # -- reading

    @property
    def config(self) -> dict[str, Any]:
        """What the fit was asked to do."""
        return json.loads((self.path / CONFIG).read_text())

    @property
    def schema(self) -> str:
        """The text of the frozen `schema.toml`."""
        return (self.path / SCHEMA).read_text()

    @property
    def results(self) -> Path:
        """The folder of the answers kept with the run."""
        return self.path / RESULTS

    @property
    def finished(self) -> bool:
        return bool(self._manifest["finished"])

    @property
    def best(self) -> int | None:
        """The step that was best, if the fit judged."""
        return self._manifest["best"]

    @property
    def step(self) -> int | None:
        """The step that load reads."""
        return self._manifest["checkpoint"]

    @property
    def digest(self) -> str:
        """sha256 of the manifest: it names this run's content."""
        return sealed.fingerprint(self.path / MANIFEST)["sha256"]

    def steps(self) -> list[int]:
        """The steps whose checkpoints are kept, in order."""
        found = {_step_of(name) for name in self._manifest["files"]}
        return sorted(step for step in found if step is not None)

    def files(self) -> list[str]:
        """The files that the manifest vouches for, relative to the run."""
        return list(self._manifest["files"])

    def verify(self) -> None:
        """`CorruptFileError` naming the first file that is not as it was written."""
        self._read_manifest()
        self._steady(lambda: [self._check(name) for name in self._manifest["files"]])

    def load(self, checkpoint: int | None = None) -> Checkpoint:
        """The checkpoint of that step, by default the run's answer.

        In an unfinished run the newest that verifies is taken, with a note. In a finished run a damaged answer is
        refused, because an older checkpoint would be another answer; the text says which one could be named.
        Raises `CorruptFileError`, and `UsageError` for a step that is not there.
        """
        return self._steady(lambda: self._load(checkpoint))

    def _steady(self, look: Callable[[], _T]) -> _T:
        """What `look` finds; if it finds damage and the run was meanwhile written on, it looks again."""
        for _ in range(5):
            before = self._manifest
            try:
                return look()
            except CorruptFileError:
                self._read_manifest()
                if self._manifest == before:
                    raise
        return look()

    def _load(self, wanted: int | None) -> Checkpoint:
        from genprob.engine import checkpoint

        step = self._manifest["checkpoint"] if wanted is None else wanted
        if step is None:
            raise UsageError(f"{self.path}: has no checkpoint yet; its fit was stopped before the first, resume it")
        if step not in self.steps():
            raise UsageError(f"{self.path}: holds no checkpoint {step}; it holds {self._listed()}")
        folder = self.path / CHECKPOINTS
        try:
            self._check_step(step)
            return Checkpoint(step, checkpoint.load(folder / str(step)))
        except CorruptFileError as error:
            sound = [s for s in sorted(self.steps(), reverse=True) if s != step and self._sound(s)]
            if wanted is not None or not sound:
                raise
            if self.finished:
                raise CorruptFileError(
                    f"{error}; checkpoint {sound[0]} verifies but is another answer: "
                    f"genprob.load({str(self.path)!r}, checkpoint={sound[0]}) takes it"
                ) from None
            note = f"{error}; checkpoint {sound[0]} was loaded instead"
            return Checkpoint(sound[0], checkpoint.load(folder / str(sound[0])), note)

    def events(self) -> list[dict[str, Any]]:
        """The logged metrics in order of step, without what a resumed fit did again."""
        return self._events.read()

    # -- inside

    def _writer(self) -> None:
        if not self._lock.held:
            raise UsageError(f"{self.path}: is open to read only; lock it first")

    def _replace(self, name: str, content: bytes | str | Callable[[Path], object]) -> None:
        """Writes a file and its manifest entry."""
        path = self.path / name
        path.parent.mkdir(exist_ok=True)
        with atomic.replacing(path) as temporary:
            if callable(content):
                content(temporary)
            else:
                temporary.write_bytes(content.encode() if isinstance(content, str) else content)
            entries = {name: sealed.fingerprint(temporary)}
            self._vouch_for_both(entries)
        self._manifest["files"] |= entries
        self._write_manifest()

    def _vouch_for_both(self, entries: Mapping[str, Any]) -> None:
        """Between two renames, of a file and of the manifest, both versions of the file are the run's own."""
        files = self._manifest["files"]
        known = {name: files[name] for name in entries if name in files and (self.path / name).exists()}
        if known:
            before = {name: {**entries[name], "before": sealed.fingerprint(self.path / name)} for name in known}
            self._manifest["files"] = files | before
            self._write_manifest()

    def _read_manifest(self) -> None:
        manifest = sealed.read(self.path / MANIFEST)
        if manifest.get("format") != _FORMAT:
            raise CorruptFileError(
                f"{self.path / MANIFEST}: format {manifest.get('format')} is unknown to this version"
            )
        self._manifest = manifest

    def _write_manifest(self) -> None:
        # Copied, so that a reader in this process that holds the old one is not changed under its feet.
        self._manifest = {**self._manifest, "written": time.time()}
        atomic.write(self.path / MANIFEST, sealed.dumps(self._manifest))

    def _check(self, name: str) -> None:
        entry = self._manifest["files"].get(name)
        if entry is None:
            raise CorruptFileError(f"{self.path / name}: is not in the manifest of the run")
        try:
            sealed.check(self.path / name, entry)
        except CorruptFileError:
            if "before" not in entry:
                raise
            sealed.check(self.path / name, entry["before"])

    def _check_step(self, step: int) -> None:
        for name in self._manifest["files"]:
            if _step_of(name) == step:
                self._check(name)

    def _sound(self, step: int) -> bool:
        with contextlib.suppress(CorruptFileError):
            self._check_step(step)
            return True
        return False

    def _listed(self) -> str:
        return ", ".join(map(str, self.steps())) or "none"


def _step_of(name: str) -> int | None:
    """The step of a checkpoint's file, None for other files."""
    parts = name.split("/")
    return int(parts[1]) if parts[0] == CHECKPOINTS and len(parts) == 3 else None


def _json(config: Mapping[str, Any]) -> str:
    try:
        return json.dumps(dict(config), indent=2) + "\n"
    except TypeError as error:
        raise UsageError(
            f"the configuration of a run must be JSON ({error}); name factories as 'module:attr'"
        ) from None
