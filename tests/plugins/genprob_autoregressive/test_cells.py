"""Every cell given the rest of its row."""

import numpy as np
import pytest

from genprob.query.capabilities import ScoresCells


@pytest.mark.parametrize("members", [1, 3])
def test_a_cells_score_is_that_of_its_conditional(shaken, mixed, members):
    joint = shaken(mixed, members=members, noise=0.2, orders=24)
    assert isinstance(joint.model, ScoresCells)
    values = joint.reference.values.numpy()[:40].copy()
    values[3, 1] = values[7, 5] = np.nan
    found = joint.model.log_conditionals(values)
    assert np.isnan(found[3, 1]) and np.isnan(found[7, 5]) and np.isnan(found).sum() == 2
    rows = {v.name: values[:, j] for j, v in enumerate(joint.schema)}
    labels = np.array([*joint.schema["g"].support.levels, None], dtype=object)
    rows["g"] = labels[np.nan_to_num(rows["g"], nan=len(labels) - 1).astype(int)]
    for j, variable in enumerate(joint.schema):
        rest = [v.name for v in joint.schema if v.name != variable.name]
        told = joint.conditional_log_prob(rows, given=rest)["log_prob"].values
        seen = ~np.isnan(found[:, j])
        away = np.abs(found[seen, j] - told[seen])
        # Shares of members rest on orders of the whole row here, on orders of the rest there.
        assert away.max() < 1e-5 if members == 1 else away.mean() < 0.15


def test_surprise_is_read_off_the_network(shaken, mixed):
    joint = shaken(mixed)
    rows = {name: values[:5] for name, values in mixed.items()}
    found = joint.surprise(rows)
    assert np.allclose(found["surprise"].values, -joint.model.log_conditionals(joint.table(rows).values))
    assert not found["standard_error"].values.any()


def test_the_cells_of_an_array_follow_one_another(shaken):
    import xarray as xr

    import genprob

    rng = np.random.default_rng(0)
    level = rng.normal(size=(60, 1))
    table = xr.Dataset(
        {"image": (("row", "pixel"), level + 0.3 * rng.normal(size=(60, 3))), "k": ("row", (level[:, 0] > 0) * 1)}
    )
    joint = genprob.fit(table, model="anyorder", steps=3, hidden=8, orders=6)
    values = joint.table(table).values[:4]
    found = joint.model.log_conditionals(values)
    whole = joint.conditional_log_prob(table.isel(row=slice(4)), given=["k"])["log_prob"].values
    assert found.shape == (4, 2) and np.abs(found[:, 0] - whole).max() < 1.0
    rest = joint.conditional_log_prob(table.isel(row=slice(4)), given=["image"])["log_prob"].values
    assert np.allclose(found[:, 1], rest, atol=1e-5)
