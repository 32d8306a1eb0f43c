"""Methods that answer the same queries of one table: peers in arrays, genprob as a user calls it, all scored alike."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import Drawn, Floats, apart
from benchmarks.protocol import Split
from benchmarks.scores import Scores, score
from genprob.metrics.bootstrap import paired_bootstrap

DRAWS = 100
SEED = 0
TAKE_HOLES = ("miceforest",)
"""Environments whose peers learn from rows with holes."""
FIELDS = (("crps", "CRPS"), ("energy", "energy"), ("log_loss", "log-loss"))


@dataclass(frozen=True)
class Entry:
    """What one method scored on one table under one mask; seconds are of the processor."""

    method: str
    mask: int
    fitted: float
    answered: float
    scores: Scores

    def row(self) -> dict[str, Any]:
        """The entry as a row of a page's table."""
        costs = {"fit CPU s": self.fitted, "answer CPU s": self.answered}
        return {"method": self.method, "mask": self.mask, **costs, **self.scores.summary()}


def peer(name: str, module: str, split: Split, masks: Sequence[int]) -> list[Entry]:
    """Fit one peer of `benchmarks/peers`, answer under every mask.

    Those that do not say that they take holes learn from the complete rows.
    """
    method = importlib.import_module(f"benchmarks.peers.{module}")
    encoder = split.encoder
    train = split.train if getattr(method, "TAKES_HOLES", False) else split.train.dropna()
    asked = encoder.reals(split.queries), encoder.codes(split.queries)
    begun = time.process_time()
    answer = method.fit(encoder.reals(train), encoder.codes(train), encoder.levels, SEED)
    fitted = time.process_time() - begun
    entries = []
    for mask in masks:
        begun = time.process_time()
        drawn = answer(*asked, split.observed(mask), DRAWS, SEED)
        entries.append(entry(name, mask, fitted, time.process_time() - begun, drawn, split))
    return entries


def elsewhere(name: str, environment: str, split: Split, masks: Sequence[int]) -> list[Entry]:
    """A peer in its own process and environment, from the complete rows where it cannot learn from others."""
    encoder = split.encoder
    train = split.train if environment in TAKE_HOLES else split.train.dropna()
    results = apart.run(
        environment,
        (encoder.reals(train), encoder.codes(train)),
        (encoder.reals(split.queries), encoder.codes(split.queries)),
        encoder.levels,
        [split.observed(mask) for mask in masks],
        DRAWS,
        SEED,
    )
    return [
        entry(name, mask, result.fit_seconds, result.answer_seconds, result.drawn, split)
        for mask, result in zip(masks, results, strict=True)
    ]


def ours(
    name: str, options: Mapping[str, Any], split: Split, masks: Sequence[int], seed: int = SEED
) -> tuple[list[Entry], list[str]]:
    """genprob as a user calls it, frames in and labelled draws out; and a line for every refusal."""
    import genprob

    with tempfile.TemporaryDirectory() as folder:
        begun = time.process_time()
        joint = genprob.fit(split.train, out=Path(folder) / "run", seed=seed, **options)
        return asked(name, joint, time.process_time() - begun, split, masks)


def asked(name: str, joint: Any, fitted: float, split: Split, masks: Sequence[int]) -> tuple[list[Entry], list[str]]:
    """The answers of a joint that was fitted in so many seconds."""
    from genprob.errors import GenprobError

    entries, refused = [], []
    for mask in masks:
        begun = time.process_time()
        try:
            answer = joint.query(rows=split.holed(mask), draws=DRAWS, seed=SEED)
        except GenprobError as problem:
            refused.append(f"{name}, mask {mask}, was refused: {problem}.")
            continue
        answered = time.process_time() - begun
        entries.append(entry(name, mask, fitted, answered, split.numbers(answer), split))
    return entries, refused


def entry(name: str, mask: int, fitted: float, answered: float, drawn: Drawn, split: Split) -> Entry:
    encoder = split.encoder
    truth = encoder.reals(split.queries), encoder.codes(split.queries)
    missing = split.known & ~split.observed(mask)
    found = Entry(name, mask, fitted, answered, score(*drawn, *truth, missing, encoder.levels))
    summary = ", ".join(f"{key} {value:.3f}" for key, value in found.row().items() if isinstance(value, float))
    print(f"{split.name}: {name}, mask {mask}: {summary}", file=sys.stderr, flush=True)
    return found


def difference(ours: Floats, theirs: Floats) -> str:
    """The mean of ours - theirs over rows with its 95 % interval."""
    mean, low, high = paired_bootstrap(ours, theirs)
    return f"{mean:+.4f} ({low:+.4f} to {high:+.4f})"


def differences(first: Entry, second: Entry) -> str:
    """All scores of one entry minus those of another on the same cells."""
    pairs = ((label, getattr(first.scores, field), getattr(second.scores, field)) for field, label in FIELDS)
    return ", ".join(f"{label} {difference(ours, theirs)}" for label, ours, theirs in pairs)


def noted(task: Callable[[], list[Entry]], name: str) -> tuple[list[Entry], list[str]]:
    """The entries of a peer, or a line that says that it could not be run."""
    try:
        return task(), []
    except (subprocess.SubprocessError, np.linalg.LinAlgError, ValueError) as problem:
        return [], [f"{name} could not be run: {problem}."]
