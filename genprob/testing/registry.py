"""A small instance of every reference joint."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from scipy import stats

from genprob.testing.joints import (
    circuit,
    copula,
    gaussian,
    gaussian_mixture,
    ising,
    moons,
    network,
    rbm,
    student,
    tree,
)
from genprob.testing.reference import ReferenceJoint


def correlated(width: int, seed: int) -> np.ndarray:
    """A correlation matrix with a condition number of a few tens."""
    a = np.random.default_rng(seed).normal(size=(width, width))
    covariance = a @ a.T + 0.3 * width * np.eye(width) / 2
    scale = np.sqrt(np.diagonal(covariance))
    return covariance / np.outer(scale, scale)


def _gaussian() -> ReferenceJoint:
    sd = np.array([1.0, 2.0, 0.5, 1.5])
    return gaussian.Gaussian([0.0, 1.0, -1.0, 3.0], correlated(4, 1) * np.outer(sd, sd))


def _mixture() -> ReferenceJoint:
    mean = np.array([[-2.0, 0.0, 1.0], [2.0, 1.0, 0.0], [0.0, -2.5, -1.0]])
    covariance = np.stack([correlated(3, seed) * size for seed, size in ((2, 0.5), (3, 1.0), (4, 0.3))])
    return gaussian_mixture.GaussianMixture([0.5, 0.3, 0.2], mean, covariance)


def _copula() -> ReferenceJoint:
    marginals = {
        "normal": stats.norm(1.0, 2.0),
        "lognormal": stats.lognorm(0.6, scale=2.0),
        "exponential": stats.expon(scale=1.5),
        "beta": stats.beta(2.0, 3.0),
        "uniform": stats.uniform(-1.0, 3.0),
    }
    return copula.GaussianCopula(correlated(5, 5), marginals)


def _ising() -> ReferenceJoint:
    rng = np.random.default_rng(6)
    coupling = np.triu(rng.normal(0, 0.5, (9, 9)), 1)
    return ising.Ising(coupling + coupling.T, rng.normal(0, 0.3, 9))


def _rbm(scalars: bool) -> ReferenceJoint:
    rng = np.random.default_rng(7)
    return rbm.RBM(rng.normal(0, 1.0, (10, 6)), rng.normal(0, 0.5, 10), rng.normal(0, 0.5, 6), scalars=scalars)


_BUILT: dict[str, Callable[[], ReferenceJoint]] = {
    "gaussian": _gaussian,
    "student": lambda: student.StudentT(4.0, [0.0, 1.0, -1.0], correlated(3, 8)),
    "gaussian-mixture": _mixture,
    "copula": _copula,
    "circuit": circuit.mixed,
    "chest-clinic": network.chest_clinic,
    "ising": _ising,
    "rbm": lambda: _rbm(True),
    "rbm-array": lambda: _rbm(False),
    "tree": tree.benchmark_tree,
    "hmm": tree.benchmark_hmm,
    "two-moons": moons.TwoMoons,
}


@cache
def built(name: str) -> ReferenceJoint:
    """The instance of that name, built once: a reference joint never changes."""
    return _BUILT[name]()


def references() -> dict[str, ReferenceJoint]:
    """Every reference joint by name, small enough to be asked anything in a test.

    >>> sorted(references())[:4]
    ['chest-clinic', 'circuit', 'copula', 'gaussian']
    """
    return {name: built(name) for name in _BUILT}
