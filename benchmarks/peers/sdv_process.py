"""Run by the environment's own Python: `python sdv_process.py QUESTIONS.npz ANSWERS.npz`.

SDV's Gaussian copula, its one table model that conditions on given numbers without rejecting what it drew. Each query
is a condition of its own. Its defaults but for two: numbers are neither rounded nor held to the training rows' range,
for it refuses queries that are outside. What it refuses all the same it answers with rows given nothing, and says so.
"""

from __future__ import annotations

import logging
import os
import sys
import time
import warnings

import numpy as np
import pandas as pd
from sdv.metadata import Metadata
from sdv.sampling import Condition
from sdv.single_table import GaussianCopulaSynthesizer


def main(questions: str, answers: str) -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.INFO)
    with np.load(questions) as given:
        train, asked, observed = given["train"], given["asked"], given["observed"]
        reals, draws, seed = int(given["reals"]), int(given["draws"]), int(given["seed"])
    np.random.seed(seed)
    start = time.process_time()
    table = frame(train, reals)
    kinds = {name: {"sdtype": "numerical" if j < reals else "categorical"} for j, name in enumerate(table)}
    metadata = Metadata.load_from_dict({"tables": {"table": {"columns": kinds}}, "relationships": []})
    copula = GaussianCopulaSynthesizer(metadata, enforce_min_max_values=False, enforce_rounding=False)
    copula.fit({"table": table})
    fit_seconds = time.process_time() - start
    rows = frame(asked, reals)
    drawn, answer_seconds, refused = [], [], 0
    for mask in observed:
        start = time.process_time()
        with open(os.devnull, "w") as nowhere:
            shown, sys.stderr = sys.stderr, nowhere  # a bar of progress for every query
            try:
                filled = [draw(copula, rows.iloc[i][given].to_dict(), draws) for i, given in enumerate(mask)]
                refused += sum(one is None for one in filled)
                filled = [draw(copula, {}, draws) if one is None else one for one in filled]
            finally:
                sys.stderr = shown
        drawn.append(np.stack([numbers(one[rows.columns], reals) for one in filled]))
        answer_seconds.append(time.process_time() - start)
    print(f"{refused} queries refused", file=sys.stderr)
    np.savez(answers, drawn=np.stack(drawn), answer_seconds=answer_seconds, fit_seconds=fit_seconds)


def draw(copula, known, draws):
    """So many rows with the known cells, or None where it finds fewer."""
    try:
        if known:
            told = copula.sample_from_conditions([Condition(known, num_rows=draws, table_name="table")])
        else:
            told = copula.sample(draws)
    except ValueError:
        return None
    return told["table"] if len(told["table"]) == draws else None


def frame(table, reals):
    columns = {f"real {j}": table[:, j] for j in range(reals)}
    labels = {f"label {j}": [f"label {code:.0f}" for code in column] for j, column in enumerate(table[:, reals:].T)}
    return pd.DataFrame(columns | labels)


def numbers(table, reals):
    codes = [table[name].str.removeprefix("label ").astype(float) for name in table.columns[reals:]]
    return np.concatenate([table[table.columns[:reals]].to_numpy(float), np.stack(codes, 1)], axis=1)


if __name__ == "__main__":
    main(*sys.argv[1:])
