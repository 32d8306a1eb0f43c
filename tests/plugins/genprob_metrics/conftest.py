"""Joints with known laws, of the public surface only: what a metric may rely on."""

import types

import numpy as np
import pytest
import xarray as xr

from genprob.data.schema import Schema, Variable
from genprob.data.support import Categorical, Real
from genprob.data.table import Table, decode
from genprob.errors import UsageError


class Known:
    """A joint by its law: `law(rng, n)` draws rows, `complete(rng, values, draws)` draws what is NaN in rows."""

    run = None
    rows = 0

    def __init__(self, schema, law, complete, log_density=None):
        self.schema, self.law, self.complete, self.log_density = schema, law, complete, log_density
        self.model = types.SimpleNamespace()
        self.asked = 0

    def _values(self, data):
        return Table.from_dataset(self.schema, data, allow_missing=True).values

    def dataset(self, values):
        return Table(self.schema, values).to_dataset()

    def sample(self, draws, *, seed=0):
        values = self.law(np.random.default_rng(seed), draws)
        return self.dataset(values).rename(row="draw")

    def query(self, rows, draws, seed=0):
        self.asked += 1
        values = self._values(rows)
        if not np.isnan(values).any():
            raise UsageError("nothing is asked")
        drawn = self.complete(np.random.default_rng(seed), values, draws)
        posterior = {
            v.name: (("query", "chain", "draw"), decode(self.schema, v.name, drawn[:, None, :, j]))
            for j, v in enumerate(self.schema)
            if np.isnan(values[:, j]).any()
        }
        stats = xr.Dataset({"computation": ("query", np.array(["ok"] * len(values)))})
        return xr.DataTree.from_dict({"/posterior": xr.Dataset(posterior), "/sample_stats": stats})

    def log_prob(self, data, *, seed=0):
        value = self.log_density(self._values(data))
        return xr.Dataset(
            {"log_prob": ("row", value), "standard_error": ("row", np.zeros(len(value)))},
            attrs={"kind": "exact", "measure": "; ".join(f"{v.name}: {v.measure.text()}" for v in self.schema)},
        )


def gaussian(correlation=0.8, spread=1.0, names=("x", "y", "z")):
    """Standard normals of one correlation; `spread` scales the sd that its conditionals claim."""
    d = len(names)
    schema = Schema(tuple(Variable(name, Real()) for name in names))
    covariance = np.full((d, d), correlation) + (1 - correlation) * np.eye(d)

    def law(rng, n):
        return rng.multivariate_normal(np.zeros(d), covariance, n)

    def complete(rng, values, draws):
        out = np.repeat(values[:, None], draws, axis=1)
        for i, row in enumerate(values):
            u, o = np.flatnonzero(np.isnan(row)), np.flatnonzero(~np.isnan(row))
            gain = covariance[np.ix_(u, o)] @ np.linalg.inv(covariance[np.ix_(o, o)])
            left = covariance[np.ix_(u, u)] - gain @ covariance[np.ix_(o, u)]
            noise = rng.standard_normal((draws, len(u))) @ np.linalg.cholesky(left).T if len(u) else 0.0
            out[i][:, u] = gain @ row[o] + spread * noise
        return out

    def log_density(values):
        from scipy.stats import multivariate_normal

        out = np.zeros(len(values))
        for i, row in enumerate(values):
            o = np.flatnonzero(~np.isnan(row))
            if len(o):
                out[i] = multivariate_normal.logpdf(row[o], np.zeros(len(o)), covariance[np.ix_(o, o)])
        return out

    return Known(schema, law, complete, log_density)


def labels(truth=(0.6, 0.3, 0.1), claimed=None):
    """A number and a label, independent; the label's probabilities are `truth`, its conditionals claim `claimed`."""
    schema = Schema((Variable("x", Real()), Variable("g", Categorical(("a", "b", "c")))))

    def law(rng, n, p=truth):
        return np.stack([rng.standard_normal(n), rng.choice(3, n, p=p).astype(float)], 1)

    def complete(rng, values, draws):
        drawn = law(rng, len(values) * draws, claimed or truth).reshape(len(values), draws, 2)
        return np.where(np.isnan(values)[:, None], drawn, values[:, None])

    return Known(schema, law, complete)


@pytest.fixture
def known():
    """The two families of joints, and rows of one."""

    def rows(joint, n, seed=100):
        return joint.dataset(joint.law(np.random.default_rng(seed), n))

    return types.SimpleNamespace(gaussian=gaussian, labels=labels, Known=Known, rows=rows)


@pytest.fixture
def scores():
    """Scores of a result by name."""
    return lambda result: {score.name: score for score in result.scores}


@pytest.fixture
def p_values(known, scores):
    """p-values of a metric, `metric(permutations=, seed=)`, on a hundred samples of the joint itself."""

    def found(metric):
        joint = known.gaussian()
        results = (metric(permutations=99, seed=s)(joint, known.rows(joint, 60, 1000 + s)) for s in range(100))
        return np.array([float(scores(result)["p_value"].value) for result in results])

    return found


@pytest.fixture
def classes(known):
    """Joints of a label and a number beside `apart` times its code: `classes(noise, apart)(kept)` knows these codes."""
    schema = known.labels().schema

    def of(noise, apart):
        def joint(kept):
            def law(rng, n):
                g = rng.choice(kept, n)
                return np.stack([apart * g + noise(rng, n), g.astype(float)], 1)

            return known.Known(schema, law, None)

        return joint

    return of
