"""SPFlow's LearnSPN: a sum-product network with Gaussian and categorical leaves, in an environment of its own.

The fit and the answer happen in one process of that environment (`spflow_process.py`), which reports its own times:
the start of the process and the transfer of the arrays are not counted.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers import Codes, Drawn, Floats, keep_given

ENVIRONMENTS = Path(__file__).parent.parent / "environments"


@dataclass(frozen=True)
class Timed:
    """Draws, and the seconds that the process says it took to fit and to answer."""

    drawn: Drawn
    fit_seconds: float
    answer_seconds: float


def environment() -> Path:
    """The Python of the pinned environment, made on first use. Raises CalledProcessError where pip cannot."""
    folder = ENVIRONMENTS / "spflow"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        venv.create(folder, with_pip=True, clear=True)
        pins = ENVIRONMENTS / "spflow.txt"
        subprocess.run([python, "-m", "pip", "install", "-qq", "--no-deps", "--requirement", str(pins)], check=True)
        (folder / "ready").touch()
    return python


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
        clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        subprocess.run([environment(), str(script), str(questions), str(answers)], check=True, env=clean)
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
