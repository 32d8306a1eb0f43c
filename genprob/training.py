"""Training: one fit in progress, the engine's loop and what is saved and said along the way."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genprob.data.batch import Batch, Minibatches, as_batch
from genprob.data.table import Table
from genprob.engine import fit as engine
from genprob.engine.capabilities import HeldOutScore
from genprob.engine.early_stopping import EarlyStopping
from genprob.engine.history import History, as_dataset
from genprob.engine.interrupt import Interrupt
from genprob.engine.program import Program
from genprob.engine.randomness import Randomness
from genprob.engine.run import POSTERIOR, Run
from genprob.engine.scope import running
from genprob.engine.state import State
from genprob.errors import Diverged, UsageError
from genprob.request import Request
from genprob.results.file import write
from genprob.results.posterior import posterior_tree

HISTORY = "fit.nc"
REFERENCE_ROWS = 256
"""Rows kept with a run, against which the support of evidence is judged."""
_CHECKPOINT_SECONDS = 20.0
_PROGRESS_SECONDS = 0.4
_LEAST_HELD = 5

Progress = Callable[[dict[str, Any]], None]


class Training:
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
        self.notes: list[str] = [*table.notes, *_misgivings(request, table), *self.planned.notes]

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
        self.notes = list(tree["notes"])
        step, horizon = self.state.step, self.state.horizon
        if step > horizon:
            raise UsageError(f"{run.path}: has done {step} steps already; steps={horizon} would be fewer")
        if self.state.finished and step < horizon:
            self.say({"message": f"the fit ended by itself at step {step}; more steps would not change it"})

    def _plan(self, rng: Randomness) -> None:
        """The program and the state, whose blocks see the tensors that the model has allocated by now."""
        self.program = self.request.program(self.network)
        self.state = State(self.program.blocks, rng, horizon=sum(p.steps for p in self.program.phases))

    def parts(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions of the rows to learn from and of those held out, in random order."""
        train, held = self._split()
        order = self.order.cpu().numpy()
        count = 0 if held is None else len(held)
        assert len(train) + count == len(order)
        return order[count:], order[:count]

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
                if save or state.step == first or state.phase != phase or now - said > _PROGRESS_SECONDS:
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
        if self._not_a_number() is not None or self._lost() is not None:
            return  # the checkpoint that follows says so
        with running(Randomness(self.request.seed, self.place)):
            self.network.conclude(train, seed=self.request.seed)
            with torch.no_grad():
                remarks = self.network.remarks(self.reference)
        for remark in remarks:
            self.say({"message": remark})

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
            lost = self._lost()
            which = f" (the block {lost!r} left the numbers)" if lost else ""
            raise self._diverged(f"{self.program.watch} became {watched}{which}")
        event = {"phase": phase, "step": self.state.step, "steps": self.state.horizon}
        self.say(event | {"metrics": numbers, "watch": self.program.watch})

    def _save(self, *, best: bool = False) -> None:
        broken = self._not_a_number()
        if broken is not None:
            raise self._diverged(f"parameter {broken} is no number")
        tree = {
            "structure": self.network.structure(),
            "state": self.state.tree(),
            "notes": self.notes,
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
            if self._not_a_number() is None and self._lost() is None:
                raise
            raise self._diverged(str(error).splitlines()[0]) from error

    def _not_a_number(self) -> str | None:
        """The first parameter of the model that holds a value which is no finite number."""
        found = ((n, p) for n, p in self.network.named_parameters() if not bool(torch.isfinite(p).all()))
        return next((name for name, _ in found), None)

    def _lost(self) -> str | None:
        """The first block beside the model's, such as chains, that holds a value which is no finite number."""
        free = self.state.blocks.tensors.items()
        return next((n for n, t in free if t.is_floating_point() and not bool(torch.isfinite(t).all())), None)

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
