"""A fit whose chains did not mix says so: the shares of modes in its draws are not those of its rows."""

import numpy as np
import pytest
import torch
import xarray as xr

import genprob
from genprob.data.batch import Batch
from genprob.data.schema import Schema, Variable
from genprob.data.support import Binary, Categorical, Real
from genprob_energy.frequencies import apart


def batch_of(values, observed=None):
    schema = Schema((Variable("x", Real()), Variable("b", Binary()), Variable("c", Categorical(("u", "v", "w")))))
    values = torch.tensor(values, dtype=torch.float64)
    observed = torch.ones_like(values, dtype=torch.bool) if observed is None else observed
    return Batch(schema, values, observed, torch.arange(len(values)), len(values))


def test_the_worst_column_is_named_with_both_shares():
    rows = batch_of([[0.0, 1.0, code] for code in (0, 0, 1, 2)])
    drawn = torch.tensor([[9.0, 1.0, 2.0]] * 4)
    said = apart(drawn, rows)
    assert said.startswith("c: 100 % of the fitted law's draws are 'w', of the rows 25 % (total variation 0.75)")
    assert "inference.temperatures=6" in said
    assert apart(rows.values, rows) == ""
    flipped = rows.values.clone()
    flipped[:3, 1] = 0.0
    assert apart(flipped, rows).startswith("b: 75 % of the fitted law's draws are 0, of the rows 0 %")


def test_holes_are_no_values():
    rows = batch_of([[0.0, 1.0, 0.0], [0.0, 1.0, 2.0], [0.0, 1.0, 2.0]])
    seen = rows.observed.clone()
    seen[0, 2] = False
    drawn = torch.tensor([[0.0, 1.0, 2.0]] * 3)
    assert apart(drawn, rows) != ""
    assert apart(drawn, batch_of(rows.values.tolist(), seen)) == ""
    seen[:, 2] = False
    assert apart(torch.tensor([[0.0, 1.0, 1.0]] * 3), batch_of(rows.values.tolist(), seen)) == ""


def bars(rows=600, side=6, seed=0):
    """Images with one bar in one half, and the half as a label: twelve modes that no chain crosses by single flips."""
    rng = np.random.default_rng(seed)
    label, place, image = rng.integers(4, size=rows), rng.integers(3, size=rows), np.zeros((rows, side, side))
    for i, (half, at) in enumerate(zip(label, place, strict=True)):
        along = at + 3 * (half % 2)
        image[i, :, along] = half < 2
        image[i, along] = np.where(half >= 2, 1.0, image[i, along])
    flipped = rng.random(image.shape) < 0.02
    names = np.array(["left", "right", "top", "bottom"])[label]
    return xr.Dataset({"image": (("row", "y", "x"), np.where(flipped, 1 - image, image)), "label": ("row", names)})


@pytest.mark.parametrize(("lr", "k", "collapses"), [(0.05, 1, True), (1e-3, 5, False)])
def test_a_fit_that_collapsed_says_so(lr, k, collapses, tmp_path):
    ds = bars()
    how = {"name": "pcd", "lr": lr, "k": k, "chains": 64, "batch_size": 64}
    options = {"hidden": 32, "chains": 128, "temperatures": 60}
    genprob.fit(ds, "rbm", steps=800, inference=how, out=tmp_path / "run", schema={"image": "binary"}, **options)
    joint = genprob.load(tmp_path / "run")
    shares = np.unique(joint.sample(1000)["label"].values, return_counts=True)[1] / 1000
    far = 0.5 * (np.abs(shares - 0.25).sum() + 0.25 * (4 - len(shares)))
    assert (far > 0.2) == collapses
    assert any("of the fitted law's draws are" in note for note in joint.notes) == collapses
