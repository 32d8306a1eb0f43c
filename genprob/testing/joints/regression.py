"""Linear regression on what is known: the algebra that Gaussian, Student-t, mixture and copula joints share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Regression:
    """Laws with means `m [K, d]` and scale matrices `C [K, d, d]`, regressed on known columns.

    Attributes:
        mean: `[Q, K, d]`, known points at their values.
        covariance: `[Q or 1, K, d, d]`, zero in the rows of points.
        distance: `[Q, K]` squared Mahalanobis distance of what is known.
        log_det: `[Q or 1, K]` log-determinant of its scale matrix.
    """

    mean: np.ndarray
    covariance: np.ndarray
    distance: np.ndarray
    log_det: np.ndarray

    @classmethod
    def on(
        cls, mean: np.ndarray, covariance: np.ndarray, known: np.ndarray, value: np.ndarray, variance: np.ndarray
    ) -> Regression:
        """Regression on columns `known [o]` with values `[Q, o]`, read with an error of `variance [Q or 1, o]`."""
        queries = len(value)
        if not len(known):
            blank = np.zeros((queries, len(mean)))
            return cls(np.repeat(mean[None], queries, 0), covariance[None].copy(), blank, blank[:1])
        cross = covariance[None, :, :, known]
        inner = cross[:, :, known] + (np.eye(len(known)) * variance[:, None, :])[:, None]
        gain = np.swapaxes(np.linalg.solve(inner, np.swapaxes(cross, 2, 3)), 2, 3)  # [Q or 1, K, d, o]
        residual = value[:, None] - mean[None][..., known]
        moved = mean + (gain @ residual[..., None])[..., 0]
        left = covariance - gain @ np.swapaxes(cross, 2, 3)
        left = 0.5 * (left + np.swapaxes(left, 2, 3))
        points = known[(variance == 0).all(0)]
        moved[..., points] = value[:, None, (variance == 0).all(0)]
        left[..., points, :] = left[..., :, points] = 0.0
        distance = (residual * np.linalg.solve(inner, residual[..., None])[..., 0]).sum(-1)
        return cls(moved, left, distance, np.linalg.slogdet(inner)[1])


def root(covariance: np.ndarray) -> np.ndarray:
    """A square root of positive semi-definite `[..., d, d]`, zero in the rows of columns without variance."""
    values, vectors = np.linalg.eigh(covariance)
    moving = np.diagonal(covariance, axis1=-2, axis2=-1) > 0
    return vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :] * moving[..., None]
