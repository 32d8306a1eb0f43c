"""Run by the environment's own Python: `python miceforest_process.py QUESTIONS.npz ANSWERS.npz`.

miceforest: five rounds of LightGBMs, one for each column from the others, that then fill in new rows. It learns from
the training rows with half of their cells hidden, as `iterative.py` does, and for the same reason: learned from
complete rows its chain hardly moves from where it starts. Numbers are copied from one of the five training rows with
the nearest prediction, its default; labels are drawn by their probabilities ("fast"): its default fails on sure ones.
"""

from __future__ import annotations

import sys
import time
import warnings

import miceforest.imputation_kernel as kernel
import numpy as np
import pandas as pd

ROUNDS = 5


class Counted(kernel.ImputedData):
    """New rows that count their rounds: version 6.0.5 does not, and so each round starts from the first values."""

    def __setitem__(self, at, values):
        super().__setitem__(at, values)
        variable, iteration, dataset = at
        self.iteration_tab[variable, dataset] = iteration


def main(questions: str, answers: str) -> None:
    warnings.simplefilter("ignore")
    kernel.ImputedData = Counted
    with np.load(questions) as given:
        train, asked, observed, levels = given["train"], given["asked"], given["observed"], given["levels"]
        reals, draws, seed = int(given["reals"]), int(given["draws"]), int(given["seed"])
    start = time.process_time()
    shown = np.random.default_rng(seed).random(train.shape) < 0.5
    table = frame(train, shown, reals, levels)
    labels = dict.fromkeys(table.columns[reals:], "fast")
    imputer = kernel.ImputationKernel(table, mean_match_strategy=labels, random_state=seed)
    imputer.mice(ROUNDS, num_threads=1)
    fit_seconds = time.process_time() - start
    drawn, answer_seconds = [], []
    for mask in observed:
        start = time.process_time()
        rows = frame(np.repeat(asked, draws, axis=0), np.repeat(mask, draws, axis=0), reals, levels)
        filled = imputer.impute_new_data(rows, random_state=seed, save_all_iterations_data=False).complete_data(0)
        numbers = filled[filled.columns[:reals]].to_numpy(float)
        codes = [filled[name].cat.codes.to_numpy() for name in filled.columns[reals:]]
        drawn.append(np.concatenate([numbers, np.stack(codes, 1)], axis=1).reshape(len(asked), draws, -1))
        answer_seconds.append(time.process_time() - start)
    np.savez(answers, drawn=np.stack(drawn), answer_seconds=answer_seconds, fit_seconds=fit_seconds)


def frame(table, shown, reals, levels):
    """The shown cells; labels as categories."""
    columns = {f"real {j}": np.where(shown[:, j], table[:, j], np.nan) for j in range(reals)}
    for j, count in enumerate(levels):
        codes = np.where(shown[:, reals + j], table[:, reals + j], -1).astype(int)
        columns[f"label {j}"] = pd.Categorical.from_codes(codes, categories=[f"label {k}" for k in range(count)])
    return pd.DataFrame(columns)


if __name__ == "__main__":
    main(*sys.argv[1:])
