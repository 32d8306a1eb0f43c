"""scikit-learn's IterativeImputer: chained Bayesian ridge regressions with draws from their posteriors.

It learns from the training rows with half of their cells hidden: regressions on complete rows are so sharp that the
chain hardly moves in its ten rounds. Labels enter as standardised codes and are rounded back: indicators sum to one,
and the chain could not move at all. Holes in training are its trade.
"""

from __future__ import annotations

import warnings

import numpy as np

from benchmarks.peers import Answer, Codes, Floats, keep_given

TAKES_HOLES = True


def fit(reals: Floats, codes: Codes, levels: Codes, seed: int) -> Answer:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - makes the next import possible
    from sklearn.impute import IterativeImputer

    known = np.where(codes < 0, np.nan, codes)
    centre, scale = np.nanmean(known, axis=0), np.nanstd(known, axis=0)
    table = np.concatenate([reals, (known - centre) / scale], axis=1)
    holed = np.where(np.random.default_rng(seed).random(table.shape) < 0.5, np.nan, table)
    imputer = IterativeImputer(sample_posterior=True, max_iter=10, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a chain of draws never stands still
        imputer.fit(holed)

    def answer(asked, labels, observed, draws, seed):
        table = np.where(observed, np.concatenate([asked, (labels - centre) / scale], axis=1), np.nan)
        filled = imputer.transform(np.repeat(table, draws, axis=0)).reshape(len(asked), draws, -1)
        width = asked.shape[1]
        drawn_codes = np.clip(np.rint(filled[..., width:] * scale + centre), 0, levels - 1).astype(np.int64)
        return keep_given((filled[..., :width], drawn_codes), asked, labels, observed)

    return answer
