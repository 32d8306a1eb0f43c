"""A small table of every kind of column, with holes, and what fits of it are compared by."""

import numpy as np
import pytest
import torch

from genprob.engine.run import Run

ROWS = 90


@pytest.fixture(scope="session")
def table():
    """Reals in two clusters, a category and a count that depend on the cluster; a tenth of the cells missing."""
    rng = np.random.default_rng(11)
    k = rng.integers(2, size=ROWS)
    holes = rng.random((3, ROWS)) < 0.1
    x = np.where(k, 3.0, -1.0) + rng.normal(size=ROWS)
    y = 0.5 * x + rng.normal(size=ROWS) * 0.3
    g = np.where(rng.random(ROWS) < 0.8, k, 1 - k)
    return {
        "x": np.where(holes[0], np.nan, x),
        "y": np.where(holes[1], np.nan, y),
        "g": np.array(["a", "b"], dtype=object)[g],
        "n": np.where(holes[2], np.nan, rng.poisson(1 + 4 * k)),
    }


@pytest.fixture(scope="session")
def schema():
    return {"x": "real", "y": "real", "g": "categorical", "n": "count"}


@pytest.fixture(scope="session")
def same():
    """Equality of trees, bit for bit."""

    def equal(a, b):
        if isinstance(a, torch.Tensor):
            return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
        if isinstance(a, dict):
            return isinstance(b, dict) and set(a) == set(b) and all(equal(a[k], b[k]) for k in a)
        if isinstance(a, (list, tuple)):
            return isinstance(b, (list, tuple)) and len(a) == len(b) and all(map(equal, a, b))
        return a == b

    return equal


@pytest.fixture(scope="session")
def newest():
    """The newest checkpoint of a run, which need not be its answer."""

    def tree(path):
        run = Run.open(path)
        return run.load(run.steps()[-1]).tree

    return tree
