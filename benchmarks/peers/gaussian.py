"""One Gaussian over the reals and the labels' indicators; a missing label is drawn by its conditional mean."""

from __future__ import annotations

import numpy as np

from benchmarks.peers import Answer, Codes, Floats, keep_given, one_hot

RIDGE = 1e-4
LEAST = 1e-3  # of a label's probability: a linear model's can be negative


def fit(reals: Floats, codes: Codes, levels: Codes, seed: int) -> Answer:
    table = np.concatenate([reals, one_hot(codes, levels)], axis=1)
    mean = table.mean(axis=0)
    covariance = np.cov(table, rowvar=False) + RIDGE * np.eye(table.shape[1])
    ends = reals.shape[1] + np.cumsum(levels)

    def answer(asked, labels, observed, draws, seed):
        rng = np.random.default_rng(seed)
        width = asked.shape[1]
        wide = np.concatenate([asked, one_hot(labels, levels)], axis=1)
        drawn_reals = np.repeat(asked[:, None], draws, axis=1)
        drawn_codes = np.repeat(labels[:, None], draws, axis=1)
        for row, seen in enumerate(observed):
            given = np.concatenate([seen[:width], np.repeat(seen[width:], levels)])
            gain = np.linalg.solve(covariance[np.ix_(given, given)], covariance[np.ix_(given, ~given)]).T
            centre = mean.copy()
            centre[~given] += gain @ (wide[row, given] - mean[given])
            spread = covariance[np.ix_(~given, ~given)] - gain @ covariance[np.ix_(given, ~given)]
            hidden = np.flatnonzero(~seen[:width])
            root = np.linalg.cholesky(spread[: len(hidden), : len(hidden)])
            drawn_reals[row][:, hidden] = centre[hidden] + rng.standard_normal((draws, len(hidden))) @ root.T
            for j in np.flatnonzero(~seen[width:]):
                weights = np.maximum(centre[ends[j] - levels[j] : ends[j]], LEAST)
                drawn_codes[row, :, j] = rng.choice(levels[j], size=draws, p=weights / weights.sum())
        return keep_given((drawn_reals, drawn_codes), asked, labels, observed)

    return answer
