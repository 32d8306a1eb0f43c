"""Small any-order networks whose weights are random, so that nothing holds by being zero."""

import numpy as np
import pytest
import torch
import xarray as xr

from genprob.data.batch import as_batch
from genprob.data.infer import infer_schema
from genprob.data.table import Table
from genprob.engine.randomness import Randomness
from genprob.engine.scope import running
from genprob.joint import Joint
from genprob_autoregressive.anyorder import ResidualAnyOrder


def network(data, *, stated=None, noise=0.4, seed=0, **options) -> Joint:
    """A joint of a network that was prepared on `data`, its weights shaken instead of learned."""
    ds = xr.Dataset({name: ("row", np.asarray(values)) for name, values in data.items()})
    schema = infer_schema(ds, stated)
    table = Table.from_dataset(schema, ds)
    whole = as_batch(table, dtype=torch.float64)
    with running(Randomness(seed)), torch.no_grad():
        model = ResidualAnyOrder(table.schema, **{"hidden": 16, "blocks": 1, "logistics": 3} | options)
        model.prepare(whole, seed=seed)
        for parameter in model.parameters():
            parameter += noise * torch.randn_like(parameter)
    rows = torch.arange(min(256, len(whole)))
    return Joint(table.schema, model.eval(), run=None, reference=whole.take(rows), rows=len(whole))


@pytest.fixture(scope="session")
def shaken():
    """`shaken(data, **options)`: the joint of a network with random weights."""
    return network


@pytest.fixture(scope="session")
def mixed():
    """Columns of every kind that hang together; `income` has an atom at 0, `age` is rounded, `x` has no ties."""
    rng = np.random.default_rng(0)
    n = 300
    g = rng.integers(0, 3, n)
    x = rng.normal(size=n) + g
    return {
        "x": x,
        "income": np.where(rng.random(n) < 0.3, 0.0, np.exp(0.5 * x + 0.3 * rng.normal(size=n))),
        "age": np.round(40 + 8 * x + 4 * rng.normal(size=n)),
        "visits": rng.poisson(1 + g).astype(float),
        "member": (rng.random(n) < 0.3 + 0.2 * g).astype(float),
        "g": np.array(["a", "b", "c"], dtype=object)[g],
    }


STATED = {"x": "real", "income": {"support": "real", "measure": "lebesgue"}, "age": "cell(1)", "visits": "count"}
