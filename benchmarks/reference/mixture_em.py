"""EM for a mixture of full-covariance Gaussians x categoricals on complete rows, in numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers import one_hot
from benchmarks.reference.conditional_mixture import Codes, Floats, Parameters


def fit(
    reals: Floats, codes: Codes, levels: Codes, components: int, iterations: int, ridge: float, seed: int
) -> Parameters:
    """Maximum likelihood with `ridge` on every covariance's diagonal and one pseudo-row per label."""
    from sklearn.cluster import KMeans

    labels = KMeans(components, n_init=1, max_iter=10, random_state=seed).fit_predict(reals)
    responsibilities = np.eye(components)[labels]
    indicators = one_hot(codes, levels)
    for _ in range(iterations):
        mixture = maximise(responsibilities, reals, indicators, levels, ridge)
        responsibilities = expect(mixture, reals, indicators)[0]
    return mixture


def maximise(responsibilities: Floats, reals: Floats, indicators: Floats, levels: Codes, ridge: float) -> Parameters:
    """The M-step: weighted means, covariances and label shares."""
    size = responsibilities.sum(axis=0) + 1e-10
    means = responsibilities.T @ reals / size[:, None]
    covariances = np.empty((len(size), reals.shape[1], reals.shape[1]))
    for k in range(len(size)):
        centred = reals - means[k]
        covariances[k] = (responsibilities[:, k, None] * centred).T @ centred / size[k]
    covariances += ridge * np.eye(reals.shape[1])
    shares = responsibilities.T @ indicators + 1
    tables = np.split(shares, np.cumsum(levels)[:-1], axis=1)
    return Parameters(size / size.sum(), means, covariances, tuple(t / t.sum(axis=1, keepdims=True) for t in tables))


def expect(mixture: Parameters, reals: Floats, indicators: Floats) -> tuple[Floats, NDArray[np.float64]]:
    """The E-step: responsibilities `[n, k]` and each row's log-density `[n]`."""
    root = np.linalg.cholesky(mixture.covariances)
    log_joint = np.log(mixture.weights) - np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
    log_joint = log_joint - reals.shape[1] / 2 * np.log(2 * np.pi) + np.zeros((len(reals), 1))
    for k, inverse in enumerate(np.linalg.inv(root)):
        log_joint[:, k] -= (((reals - mixture.means[k]) @ inverse.T) ** 2).sum(axis=1) / 2
    if mixture.tables:
        log_joint += indicators @ np.log(np.concatenate(mixture.tables, axis=1)).T
    top = log_joint.max(axis=1, keepdims=True)
    weights = np.exp(log_joint - top)
    total = weights.sum(axis=1, keepdims=True)
    return weights / total, (top + np.log(total))[:, 0]
