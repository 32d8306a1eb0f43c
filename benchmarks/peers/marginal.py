"""Each missing cell from a random training row of its own: ignores everything that is given."""

from __future__ import annotations

import numpy as np

from benchmarks.peers import Answer, Codes, Floats, keep_given


def fit(reals: Floats, codes: Codes, levels: Codes, seed: int) -> Answer:
    def answer(asked, labels, observed, draws, seed):
        rng = np.random.default_rng(seed)
        rows = [rng.integers(len(reals), size=(len(asked), draws)) for _ in range(observed.shape[1])]
        drawn_reals = np.stack([reals[rows[j], j] for j in range(reals.shape[1])], axis=-1)
        drawn_codes = np.stack([codes[rows[reals.shape[1] + j], j] for j in range(codes.shape[1])], axis=-1)
        return keep_given((drawn_reals, drawn_codes), asked, labels, observed)

    return answer
