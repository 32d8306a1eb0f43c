"""A small fitted joint over every support, and a model that can do nothing but be sampled."""

import numpy as np
import pytest
import torch

import genprob
from genprob.data.batch import Batch
from genprob.data.measure import Cell
from genprob.data.schema import Schema, Variable
from genprob.data.support import Binary, Categorical, Count, Interval, Positive, Real
from genprob.joint import Joint
from genprob.model import Model

SCHEMA = Schema(
    (
        Variable("x", Real()),
        Variable("p", Positive()),
        Variable("u", Interval(0, 10)),
        Variable("c", Real(), Cell(0.5)),
        Variable("d", Real(), Cell(1.0)),
        Variable("g", Categorical(("a", "b", "c"))),
        Variable("b", Binary()),
        Variable("n", Count()),
        Variable("v", Binary(), dims=("t",), shape=(4,)),
    )
)


def table(n=600, seed=0):
    rng = np.random.default_rng(seed)
    k = rng.integers(0, 2, n)
    x = rng.normal(size=n) + 2 * k
    return {
        "x": x,
        "p": np.exp(0.5 * x + 0.3 * rng.normal(size=n)),
        "u": 10 / (1 + np.exp(-rng.normal(size=n) - k)),
        "c": np.round(2 * (x + 0.5 * rng.normal(size=n))) / 2,
        "d": np.round(2 * x + rng.normal(size=n)),
        "g": np.array(["a", "b", "c"])[(k + (rng.random(n) < 0.2)) % 3],
        "b": (rng.random(n) < 0.3 + 0.4 * k).astype(int),
        "n": rng.poisson(2 + 3 * k),
        "v": (rng.random((n, 4)) < 0.2 + 0.5 * k[:, None]).astype(int),
    }


class Sampler(Model):
    """x ~ N(0, 1); c is x rounded to halves; g is a, b or c with .5, .3, .2; n ~ Poisson(4)."""

    precision = torch.float64

    def draw(self, draws):
        x = torch.randn(draws, dtype=torch.float64)
        g = torch.multinomial(torch.tensor([0.5, 0.3, 0.2]), draws, replacement=True).double()
        n = torch.poisson(torch.full((draws,), 4.0, dtype=torch.float64))
        return torch.stack([x, torch.round(2 * x) / 2, g, n], 1).numpy()


@pytest.fixture(scope="session")
def schema():
    return SCHEMA


@pytest.fixture(scope="session")
def data():
    return table


@pytest.fixture(scope="session")
def joint():
    ds = {k: (("row",) if v.ndim == 1 else ("row", "t"), v) for k, v in table().items()}
    return genprob.fit(genprob.read(ds), components=2, schema=SCHEMA, steps=30)


@pytest.fixture(scope="session")
def sampler():
    names = "x", "c", "g", "n"
    schema = Schema(tuple(v for v in SCHEMA if v.name in names))
    model = Sampler(schema)
    values = torch.as_tensor(model.draw(100))
    batch = Batch(schema, values, torch.ones_like(values, dtype=torch.bool), torch.arange(100), 100)
    return Joint(schema, model, run=None, reference=batch, rows=1000)
