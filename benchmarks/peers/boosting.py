"""LightGBM as a specialist for each column, and for pairs of columns as a chain, in an environment of its own."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import environment
from benchmarks.peers import Codes, Floats


@dataclass(frozen=True)
class Told:
    """What the specialists say of rows.

    Attributes:
        columns: of each real draws `[n, draws]`, of each categorical column probabilities `[n, labels]`.
        pairs: draws `[n, draws, 2]` of each pair.
        seconds: CPU seconds of all columns, choosing included; of all pairs.
        chosen: leaves, rounds, and whether draws move to the nearest training value, `[column, 3]`.
    """

    columns: list[Floats]
    pairs: list[Floats]
    seconds: tuple[float, float]
    chosen: np.ndarray


def run(
    train: tuple[Floats, Codes],
    asked: tuple[Floats, Codes],
    pairs: list[tuple[int, int]],
    levels: Floats,
    draws: tuple[int, int],
    seed: int,
) -> Told:
    """Train on the rows, predict the others: reals first, then labels, NaN and -1 for holes.

    `draws` are those of columns and those of pairs.
    """
    width, labels = train[0].shape[1], train[1].shape[1]
    tables = [np.concatenate([reals, np.where(codes < 0, np.nan, codes)], axis=1) for reals, codes in (train, asked)]
    with tempfile.TemporaryDirectory() as folder:
        questions, answers = Path(folder) / "questions.npz", Path(folder) / "answers.npz"
        np.savez(
            questions,
            train=tables[0],
            asked=tables[1],
            labels=np.repeat([False, True], [width, labels]),
            pairs=np.array(pairs, dtype=int).reshape(-1, 2),
            levels=levels,
            draws=draws,
            seed=seed,
        )
        environment.run("lightgbm", Path(__file__).with_name("boosting_process.py"), questions, answers)
        with np.load(answers) as found:
            each = range(width + labels)
            return Told(
                [found[f"told_{j}"] for j in each],
                [found[f"pair_{k}"] for k in range(len(pairs))],
                (
                    float(sum(found[f"seconds_{j}"] for j in each)),
                    float(sum(found[f"pair_seconds_{k}"] for k in range(len(pairs)))),
                ),
                np.stack([found[f"chosen_{j}"] for j in each]),
            )
