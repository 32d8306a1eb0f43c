"""The Gaussian, N(x; m, C): exact for points, noisy readings and one interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from genprob.testing.joints.gaussian_mixture import GaussianMixture


class Gaussian(GaussianMixture):
    """N(x; m, C) over scalar reals.

    x_U given x_O = o is N(m_U + C_UO C_OO^-1 (o - m_O), C_UU - C_UO C_OO^-1 C_OU); a reading with error s adds s^2 to
    its diagonal entry of C_OO; an interval of one more column cuts that column's conditional, and the rest follows by
    regression on it.

    Arguments:
        mean: `[d]`.
        covariance: `[d, d]`, positive definite.
        names: of the variables; x1, x2, ... by default.

    >>> joint = Gaussian([0.0, 0.0], [[1.0, 0.8], [0.8, 1.0]])
    >>> joint.conditional([2.0, float("nan")], draws=10_000)[:, 1].mean().round(1).item()
    1.6
    """

    def __init__(
        self, mean: np.ndarray | Sequence, covariance: np.ndarray | Sequence, names: Sequence[str] | None = None
    ) -> None:
        super().__init__([1.0], np.asarray(mean)[None], np.asarray(covariance)[None], names)
