"""The standard normal law: its log-density, the mass of intervals and draws within them, far tails included."""

from __future__ import annotations

import math

import numpy as np
from scipy import special

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


def log_density(x: np.ndarray, mean: np.ndarray | float = 0.0, sd: np.ndarray | float = 1.0) -> np.ndarray:
    """log N(x; mean, sd), elementwise."""
    return -0.5 * ((x - mean) / sd) ** 2 - np.log(sd) - HALF_LOG_2PI


def log_mass(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """log P(a <= z <= b); -inf where b <= a.

    >>> round(float(log_mass(np.array(40.0), np.array(41.0))), 3)
    -804.608
    """
    a, b = _lower_half(a, b)
    low, high = special.log_ndtr(a), special.log_ndtr(b)
    with np.errstate(divide="ignore", invalid="ignore"):
        out = high + np.log1p(-np.exp(np.minimum(low - high, 0.0)))
    return np.where(b > a, out, -np.inf)


def truncated(a: np.ndarray, b: np.ndarray, u: np.ndarray) -> np.ndarray:
    """The quantile at level `u` in (0, 1) of the law cut to `[a, b]`."""
    flip = np.broadcast_to(a > 0, np.broadcast_shapes(np.shape(a), np.shape(u)))
    low, high = _lower_half(a, b)
    level = np.logaddexp(special.log_ndtr(low), np.log(np.where(flip, 1 - u, u)) + log_mass(low, high))
    z = np.clip(special.ndtri_exp(np.minimum(level, 0.0)), low, high)
    return np.where(flip, -z, z)


def _lower_half(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The interval, mirrored where it lies above zero, where distribution functions are close to one."""
    return np.where(a > 0, -b, a), np.where(a > 0, -a, b)
