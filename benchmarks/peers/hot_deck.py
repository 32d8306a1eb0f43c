"""Hot deck: copy the missing cells of one of the 15 training rows nearest in the given cells."""

from __future__ import annotations

import numpy as np

from benchmarks.peers import Answer, Codes, Floats, keep_given, one_hot

NEIGHBOURS = 15


def fit(reals: Floats, codes: Codes, levels: Codes, seed: int) -> Answer:
    # two different labels are as far apart as two reals that differ by one standard deviation
    table = np.concatenate([reals, one_hot(codes, levels) / np.sqrt(2)], axis=1)
    squares = table**2

    def answer(asked, labels, observed, draws, seed):
        rng = np.random.default_rng(seed)
        width = asked.shape[1]
        wide = np.concatenate([asked, one_hot(labels, levels) / np.sqrt(2)], axis=1)
        given = np.concatenate([observed[:, :width], np.repeat(observed[:, width:], levels, axis=1)], axis=1)
        wide = np.where(given, wide, 0.0)
        # the asked row's own norm is the same for all neighbours
        distance = given.astype(np.float64) @ squares.T - 2 * wide @ table.T
        nearest = np.argpartition(distance, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
        chosen = np.take_along_axis(nearest, rng.integers(NEIGHBOURS, size=(len(asked), draws)), axis=1)
        return keep_given((reals[chosen], codes[chosen]), asked, labels, observed)

    return answer
