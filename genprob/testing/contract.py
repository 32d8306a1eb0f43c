"""The contract battery: what every model owes its users, checked on a small table within a time budget."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genprob import plugins
from genprob.model import Model
from genprob.testing import clauses, failures
from genprob.testing.case import Broken, Case, Waived

SECONDS = 20.0
"""Processor time that the battery may take on one model."""
_STEPS = 30

CLAUSES: tuple[Callable[[Case], str], ...] = (
    clauses.options_are_the_signature,
    clauses.fits,
    clauses.draws,
    clauses.log_prob,
    clauses.normalised,
    clauses.saved_and_loaded,
    clauses.resumed,
    clauses.same_call_same_answer,
    clauses.evidence_of_every_kind,
    clauses.batch_equals_single,
    clauses.coherent,
    failures.errors_say_what_is_wrong,
    failures.damage_is_found,
    failures.one_writer_at_a_time,
    failures.divergence_is_told,
    failures.unreachable_evidence_is_told,
    failures.a_full_disk_is_told,
)


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
            if clause is clauses.fits and verdicts[-1].outcome == "fail":
                break
    spent = time.process_time() - started
    detail = f"{spent:.1f} of {seconds:.0f} s"
    if spent > seconds:
        longest = max(verdicts, key=lambda v: v.seconds)
        detail += f", most in {longest.clause!r}; check(..., seconds=) allows more"
    verdicts.append(Verdict("time budget", "ok" if spent <= seconds else "fail", detail, spent))
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
