"""Peers that need an environment of their own: a process of it (`NAME_process.py`) fits, answers and times itself.

The start of the process and the transfer of the arrays are not counted.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import environment
from benchmarks.peers import Codes, Drawn, Floats, keep_given

PATIENCE = 3600.0
"""Seconds after which a run is given up."""


@dataclass(frozen=True)
class Timed:
    """Draws, and the seconds that the process says it took to fit and to answer."""

    drawn: Drawn
    fit_seconds: float
    answer_seconds: float


def run(
    name: str,
    train: tuple[Floats, Codes],
    asked: tuple[Floats, Codes],
    levels: Codes,
    observed: list[NDArray[np.bool_]],
    draws: int,
    seed: int,
) -> list[Timed]:
    """Fit once, answer the queries under each mask. Holes are NaN in reals, -1 in codes."""
    width = train[0].shape[1]
    with tempfile.TemporaryDirectory() as folder:
        questions, answers = Path(folder) / "questions.npz", Path(folder) / "answers.npz"
        np.savez(
            questions,
            train=np.concatenate(train, axis=1),
            asked=np.concatenate(asked, axis=1),
            observed=np.stack(observed),
            levels=levels,
            reals=width,
            draws=draws,
            seed=seed,
        )
        script = Path(__file__).with_name(f"{name}_process.py")
        environment.run(name, script, questions, answers, patience=PATIENCE, OMP_NUM_THREADS="1")
        with np.load(answers) as found:
            return [
                Timed(
                    keep_given((table[..., :width], table[..., width:].astype(np.int64)), *asked, mask),
                    float(found["fit_seconds"]),
                    float(taken),
                )
                for table, taken, mask in zip(found["drawn"], found["answer_seconds"], observed, strict=True)
            ]
