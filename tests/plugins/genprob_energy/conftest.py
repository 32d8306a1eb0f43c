"""What tests of energies share: two moons and their plane by quadrature, tables of labels, machines at random."""

import numpy as np
import pytest
import torch
import xarray as xr

from genprob.data.batch import as_batch
from genprob.data.infer import infer_schema
from genprob.data.readers import read
from genprob.data.table import Table
from genprob.joint import Joint


@pytest.fixture(scope="session")
def moons():
    """Rows of two moons, by number and seed."""

    def drawn(rows=2000, seed=0):
        rng = np.random.default_rng(seed)
        angle, upper = rng.random(rows) * np.pi, rng.random(rows) < 0.5
        x = np.where(upper, np.cos(angle), 1 - np.cos(angle)) + 0.15 * rng.normal(size=rows)
        y = np.where(upper, np.sin(angle), 0.5 - np.sin(angle)) + 0.15 * rng.normal(size=rows)
        return {"x": x, "y": y}

    return drawn


@pytest.fixture(scope="session")
def plane():
    """log p on a grid, `[x, y]`, straight from the energy, normalised by quadrature; and log Z by quadrature."""
    grid = np.linspace(-4.5, 4.5, 181)

    def of(joint):
        x, y = np.meshgrid(grid, grid, indexing="ij")
        with torch.no_grad():
            log_mass = joint.model.log_joint(torch.as_tensor(np.stack([x, y], -1))).numpy()
        log_z = np.logaddexp.reduce(log_mass.ravel()) + 2 * np.log(grid[1] - grid[0])
        return log_mass - log_z, log_z

    return of


@pytest.fixture(scope="session")
def levelled():
    """A table of binaries and categories by their numbers of levels."""

    def drawn(levels, rows=80, seed=0):
        rng = np.random.default_rng(seed)
        names = np.array(list("abcde"), dtype=object)
        columns = {
            f"v{i}": rng.integers(0, size, rows).astype(float) if size == 2 else names[rng.integers(0, size, rows)]
            for i, size in enumerate(levels)
        }
        return xr.Dataset({name: ("row", value) for name, value in columns.items()})

    return drawn


@pytest.fixture(scope="session")
def machine_of():
    """A joint of a model that was prepared for a table, its parameters then moved at random by `spread`."""

    def made(factory, ds, parameters, *, spread, seed, **options):
        ds = read(ds)
        batch = as_batch(Table.from_dataset(infer_schema(ds, None, None), ds))
        torch.manual_seed(seed)
        model = factory(batch.schema, **options)
        model.prepare(batch, seed=seed)
        with torch.no_grad():
            for name in parameters:
                parameter = getattr(model, name)
                parameter.add_(spread * torch.randn(parameter.shape))
        model.conclude(batch, seed=seed)
        return Joint(batch.schema, model.eval(), run=None, reference=batch, rows=len(batch))

    return made
