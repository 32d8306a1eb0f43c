"""Run by the environment's own Python: `python spflow_process.py QUESTIONS.npz ANSWERS.npz`.

SPFlow's LearnSPN: a sum-product network with Gaussian and categorical leaves.
"""

from __future__ import annotations

import sys
import time
import warnings

import numpy as np
from spn.algorithms.LearningWrappers import learn_parametric
from spn.algorithms.Sampling import sample_instances
from spn.structure.Base import Context
from spn.structure.leaves.parametric.Parametric import Categorical, Gaussian


def main(questions: str, answers: str) -> None:
    warnings.simplefilter("ignore")
    with np.load(questions) as given:
        train, asked, observed = given["train"], given["asked"], given["observed"]
        reals, draws, seed = int(given["reals"]), int(given["draws"]), int(given["seed"])
    start = time.process_time()
    leaves = [Gaussian] * reals + [Categorical] * (train.shape[1] - reals)
    context = Context(parametric_types=leaves).add_domains(train)
    network = learn_parametric(train, context, cpus=1, rand_gen=np.random.RandomState(seed))
    fit_seconds = time.process_time() - start
    drawn, answer_seconds = [], []
    for mask in observed:
        start = time.process_time()
        table = np.repeat(np.where(mask, asked, np.nan), draws, axis=0)
        holed = np.isnan(table).any(axis=1)  # a row without a hole is refused
        table[holed] = sample_instances(network, table[holed], np.random.RandomState(seed))
        drawn.append(table.reshape(len(asked), draws, -1))
        answer_seconds.append(time.process_time() - start)
    np.savez(answers, drawn=np.stack(drawn), answer_seconds=answer_seconds, fit_seconds=fit_seconds)


if __name__ == "__main__":
    main(*sys.argv[1:])
