"""SPFlow's LearnSPN: a sum-product network with Gaussian and categorical leaves, in an environment of its own.

The fit and the answer happen in one process of that environment (`spflow_process.py`), which reports its own times:
the start of the process and the transfer of the arrays are not counted.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import environment
from benchmarks.peers import Codes, Drawn, Floats, keep_given

PATIENCE = 1200.0
"""Seconds after which a run is given up."""


@dataclass(frozen=True)
class Timed:
    """Draws, and the seconds that the process says it took to fit and to answer."""

    drawn: Drawn
    fit_seconds: float
    answer_seconds: float


def run(
    train: tuple[Floats, Codes],
    asked: tuple[Floats, Codes],
    observed: list[NDArray[np.bool_]],
    draws: int,
    seed: int,
) -> list[Timed]:
    """Fit once, answer the queries under each mask."""
    with tempfile.TemporaryDirectory() as folder:
        questions, answers = Path(folder) / "questions.npz", Path(folder) / "answers.npz"
        np.savez(
            questions,
            train=np.concatenate(train, axis=1),
            asked=np.concatenate(asked, axis=1),
            observed=np.stack(observed),
            reals=train[0].shape[1],
            draws=draws,
            seed=seed,
        )
        script = Path(__file__).with_name("spflow_process.py")
        environment.run("spflow", script, questions, answers, patience=PATIENCE)
        with np.load(answers) as found:
            width = train[0].shape[1]
            return [
                Timed(
                    keep_given((table[..., :width], table[..., width:].astype(np.int64)), *asked, mask),
                    float(found["fit_seconds"]),
                    float(taken),
                )
                for table, taken, mask in zip(found["drawn"], found["answer_seconds"], observed, strict=True)
            ]
