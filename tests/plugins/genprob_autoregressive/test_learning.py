"""What a fit learns, beside reference joints whose every answer is known."""

import numpy as np
import pytest

import genprob
from genprob.query.batch import QueryBatch
from genprob.testing import references


def as_dataset(reference, rows):
    import xarray as xr

    from genprob.data.table import Table

    schema = reference.schema
    return Table(schema, rows).to_dataset() if isinstance(rows, np.ndarray) else xr.Dataset(rows)


def excess(reference, rows, steps, seed=0, holes=None):
    """Mean over held-out rows and columns of log p(column | rest) of the truth minus that of a fit, in nats."""
    train = reference.sample(rows, seed=seed)
    if holes is not None:
        train = holes(train)
    joint = genprob.fit(
        as_dataset(reference, train),
        model="anyorder",
        schema=reference.schema,
        steps=steps,
        hidden=32,
        blocks=1,
        seed=seed,
    )
    test = reference.sample(300, seed=seed + 100)
    gaps = []
    for variable in reference.schema:
        given = [v.name for v in reference.schema if v.name != variable.name]
        ours = joint.conditional_log_prob(as_dataset(reference, test), given=given)["log_prob"].values
        blank = test.copy()
        blank[:, reference.schema.slices[variable.name]] = np.nan
        whole, rest = (reference.log_evidence(QueryBatch.from_values(reference.schema, x)) for x in (test, blank))
        gaps.append(whole - rest - ours)
    return float(np.mean(gaps))


@pytest.mark.slow
def test_conditionals_come_near_the_exact_ones_as_rows_grow():
    reference = references()["gaussian-mixture"]
    few, many = excess(reference, 100, 1000), excess(reference, 3000, 1000)
    assert many < 0.15 and many < 0.7 * few


def test_a_short_fit_beats_the_gaussian_it_starts_from():
    reference = references()["gaussian-mixture"]
    assert excess(reference, 1000, 250) < 0.8 * excess(reference, 1000, 0)


@pytest.mark.parametrize("kind", ["completely at random", "at random"])
def test_holes_do_not_mislead(kind):
    reference = references()["gaussian"]
    rng = np.random.default_rng(4)

    def holes(rows):
        out = rows.copy()
        if kind == "at random":  # the last column is seen only where the first is low
            out[rows[:, 0] > np.median(rows[:, 0]), -1] = np.nan
        else:
            out[rng.random(rows.shape) < 0.3] = np.nan
        return out

    assert excess(reference, 1500, 200, holes=holes) < 0.15


def test_the_audit_works_on_it():
    reference = references()["gaussian-mixture"]
    joint = genprob.fit(
        as_dataset(reference, reference.sample(400)), model="anyorder", schema=reference.schema, steps=60, hidden=16
    )
    cells = joint.audit(queries=40, shares=(0.5,), kinds=("points", "ranges"))
    assert set(cells["strategy"].values.tolist()) >= {"ancestral"}
    told = joint.query(targets=[reference.schema.names[0]], given={}, draws=50)
    assert "not audited" not in told.attrs["reasons"] or told.attrs["calibration"] in ("ok", "unknown", "fail")


def test_single_values_that_decide_are_seen():
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 10, 1500)
    special = rng.random(1500) < 0.4
    x[special] = rng.choice([2.5, 5.25, 7.75], special.sum())
    rows = {"x": x, "g": np.where(special, "yes", "no")}
    joint = genprob.fit(
        rows, "anyorder", hidden=32, steps=400, seed=0,
        schema={"x": {"support": "real", "measure": "lebesgue"}},
        inference={"name": "ml", "lr": 5e-3, "batch_size": 256},
    )  # fmt: skip
    asked = {"x": [5.25, 5.24, 5.26, 2.5, 2.51], "g": ["yes", "no", "no", "yes", "no"]}
    found = np.exp(joint.conditional_log_prob(asked, given=["x"])["log_prob"].values)
    assert found.min() > 0.9
