"""Mixing of chains with known laws, and of Boltzmann machines that mix and that do not."""

import math
import types

import numpy as np
import pytest
import torch
import xarray as xr

import genprob
from genprob.data.batch import as_batch
from genprob.data.schema import Schema, Variable
from genprob.data.support import Real
from genprob.data.table import Table
from genprob.engine.randomness import Randomness
from genprob.errors import Diverged, UsageError
from genprob.joint import Joint
from genprob_energy.rbm import RBM
from genprob_metrics.mixing import Mixing


class Autoregression:
    """x -> rho x + noise, as a model with a chain of its own."""

    law, precision = "chain", torch.float64

    def __init__(self, rho):
        self.rho = rho

    def unwalkable(self, queries):
        return [""] * len(queries)

    def walk(self, queries, chains):
        return types.SimpleNamespace(
            start=lambda: torch.randn(1, chains, 1).double(), kernel=lambda warmup: self, rows=lambda at: at.numpy()
        )

    def init(self, position):
        return {}

    def step(self, position, memory):
        return self.rho * position + (1 - self.rho**2) ** 0.5 * torch.randn_like(position), memory, {}


def walking(model):
    """A joint of that model, and rows of its law."""
    schema = Schema((Variable("x", Real()),))
    rows = np.random.default_rng(0).standard_normal((2000, 1))
    joint = types.SimpleNamespace(schema=schema, model=model, rng=lambda seed: Randomness(seed))
    return joint, Table(schema, rows).to_dataset()


@pytest.mark.parametrize("rho", [0.5, 0.9])
def test_an_autoregression_mixes_as_its_formula_says(rho, scores):
    joint, rows = walking(Autoregression(rho))
    result = Mixing(clusters=2, chains=50, steps=1000, warmup=0)(joint, rows)
    found = scores(result)
    wanted = rho ** np.array(result.coords["lag"])
    assert (np.abs(found["autocorrelation"].value[0] - wanted) < 4 * found["autocorrelation"].error[0] + 0.01).all()
    assert float(found["steps_per_draw"].value) == pytest.approx((1 + rho) / (1 - rho), rel=0.15)
    # Two clusters of a normal are its halves, left with probability arccos(rho) / pi.
    crossing = math.acos(rho) / math.pi
    assert float(found["changes"].value) == pytest.approx(100 * crossing, rel=0.06)
    assert float(found["return_time"].value) == pytest.approx(2 / crossing, rel=0.06)
    assert result.details["share"][1][0] == pytest.approx([0.5, 0.5], abs=0.05)
    assert result.coords["chain"] == ["own"] and result.attrs["cells_in_data"] == "2 clusters of rows"


def test_the_same_seed_gives_the_same_numbers_and_leaves_the_callers_alone(scores):
    joint, rows = walking(Autoregression(0.5))
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    first = scores(Mixing(steps=100)(joint, rows))["changes"].value
    assert torch.equal(torch.rand(2), wanted)
    assert np.array_equal(first, scores(Mixing(steps=100)(joint, rows))["changes"].value)
    assert not np.array_equal(first, scores(Mixing(steps=100, seed=1)(joint, rows))["changes"].value)


def machine(coupling):
    """Two modes, all of eight units on or off, tied through four hidden units: the tighter, the rarer a crossing."""
    rng = np.random.default_rng(0)
    side = rng.random((400, 1)) < 0.5
    x = (rng.random((400, 8)) < np.where(side, 0.95, 0.05)).astype(float)
    ds = xr.Dataset(
        {f"v{j}": ("row", x[:, j]) for j in range(8)} | {"side": ("row", np.where(side[:, 0], "on", "off"))}
    )
    ds = genprob.read(ds)
    schema = genprob.fit(ds, "rbm", hidden=4, steps=0).schema
    batch = as_batch(Table.from_dataset(schema, ds))
    torch.manual_seed(0)
    model = RBM(schema, hidden=4)
    model.prepare(batch, seed=0)
    with torch.no_grad():
        binaries = len(model.units.binaries)
        model.weight.copy_(torch.full_like(model.weight, coupling))
        model.weight[binaries:] = coupling * torch.tensor([[-1.0], [1.0]])  # the levels off and on
        model.visible.zero_()
        model.hidden.zero_()
        model.offset.fill_(0.5)
    model.conclude(batch, seed=0)
    return Joint(schema, model.eval(), run=None, reference=batch, rows=400), ds


def test_a_machine_that_is_stuck_is_told_from_one_that_mixes_and_temperatures_help(scores):
    found = {}
    for name, coupling in (("mixes", 0.6), ("stuck", 2.5)):
        joint, rows = machine(coupling)
        result = Mixing(clusters=2, steps=300, warmup=0, temperatures=(1, 8))(joint, rows)
        assert result.coords["chain"] == [
            "own, in data",
            "own, in code",
            "8 temperatures, in data",
            "8 temperatures, in code",
        ]
        assert result.attrs["cells_in_data"] == "the labels of 'side'"
        found[name] = scores(result) | {"independent": result.details["visited_by_independent_draws"][1]}
    own, code, tempered, _ = range(4)
    assert found["mixes"]["visited_by_chain"].value[own] > 1.95 and found["stuck"]["visited_by_chain"].value[own] < 1.05
    assert found["stuck"]["visited_by_chain"].value[code] < 1.05
    assert found["stuck"]["independent"][own] == pytest.approx(2)
    assert (
        found["stuck"]["steps_per_draw_by_chain"].value[own]
        > 100
        > found["mixes"]["steps_per_draw_by_chain"].value[own]
    )
    assert found["stuck"]["autocorrelation"].value[own, -1] > 0.8 > found["mixes"]["autocorrelation"].value[own, -1]
    assert found["stuck"]["changes_by_chain"].value[tempered] > 5 * found["stuck"]["changes_by_chain"].value[own] + 1
    assert found["stuck"]["visited_by_chain"].value[tempered] > 1.8


@pytest.mark.parametrize("apart", [0.0, 8.0])
def test_chains_that_stay_in_different_modes_are_told_however_fast_they_move_within(apart, scores):
    """Each chain draws anew at every step, but only from the mode it began in."""
    joint, _ = walking(Autoregression(0.0))
    schema = Schema(tuple(Variable(name, Real()) for name in "xyz"))
    side = torch.arange(20).remainder(2).double() * apart

    def step(position, memory):
        new = torch.randn(1, 20, 3).double()
        new[..., 0] += side
        return new, memory, {}

    joint.schema, joint.model.step = schema, step
    rows = np.random.default_rng(0).standard_normal((1000, 3))
    rows[:, 0] += 8 * (np.arange(1000) % 2)
    found = scores(Mixing(clusters=2, chains=20, steps=200, warmup=0)(joint, Table(schema, rows).to_dataset()))
    if apart:
        assert np.isinf([found[name].value for name in ("rhat", "steps_per_draw", "return_time")]).all()
    else:  # all in one mode: nothing differs, and what is missing shows in the cells visited
        assert np.isnan(found["rhat"].value) and found["visited"].value == 1
        assert found["steps_per_draw"].value < 1.5 and np.isinf(found["return_time"].value)


def test_rare_crossings_raise_rhat_and_free_ones_leave_it_at_one(scores):
    for rho, low, high in ((0.5, 1.0, 1.01), (0.999, 1.02, np.inf)):
        found = scores(Mixing(clusters=2, chains=20, steps=500, warmup=0)(*walking(Autoregression(rho))))
        assert low <= found["rhat"].value < high


def test_what_cannot_be_walked_is_told():
    rows = {"x": [0.5, 1.25, 0.75, 1.5, 2.0, 3.0, 4.0, 1.0], "g": list("abababab")}
    with pytest.raises(UsageError, match="no Markov chain of its own; rbm, boltzmann"):
        genprob.evaluate(genprob.fit(rows, components=1), rows, "mixing")
    joint, data = walking(Autoregression(0.5))
    with pytest.raises(UsageError, match="no tempered kernel"):
        Mixing(temperatures=(1, 5))(joint, data)
    with pytest.raises(UsageError, match="label='y' is no column of categories"):
        Mixing(label="y")(joint, data)
    with pytest.raises(Diverged, match="chain 0 left the numbers at step 0"):
        Mixing(steps=100, warmup=0)(walking(Autoregression(math.nan))[0], data)


@pytest.mark.parametrize("model", ["rbm", "boltzmann", "energy", "dae", "gsn"])
def test_every_model_with_a_chain_is_measured(model):
    rng = np.random.default_rng(0)
    side = rng.integers(0, 2, 200)
    reals = {"x": 3 * side + rng.standard_normal(200), "y": rng.standard_normal(200)}
    labels = {"g": np.array(list("ab"))[side], "h": rng.integers(0, 2, 200)}
    rows = labels if model == "boltzmann" else reals if model in ("energy", "dae") else reals | labels
    options = {"hidden": (8,)} if model in ("energy", "dae", "gsn") else {"hidden": 4, "temperatures": 20}
    joint = genprob.fit(rows, model, steps=20, **options)
    found = genprob.evaluate(joint, rows, "mixing", clusters=2, chains=4, steps=100, warmup=20)["mixing"]
    assert 1 <= float(found["visited"]) <= 2 and found["chain"].values[0].startswith("own")
    assert found["visited"].attrs["units"] == "cells in 100 steps" and found["visited"].attrs["ideal"] > 1.9


def test_chains_of_different_models_are_compared_by_what_they_share():
    rows = {"g": list("ab") * 30, "h": list("abc") * 20}
    joints = {
        "rbm": genprob.fit(rows, "rbm", steps=5, hidden=2),
        "gsn": genprob.fit(rows, "gsn", steps=5, hidden=(4,)),
    }
    found = genprob.compare(joints, rows, "mixing", clusters=2, chains=4, steps=100)["mixing"]
    assert found["changes"].dims == ("joint",) and "changes_by_chain" not in found


def test_chains_that_stand_still_at_one_point_have_no_steps_per_draw(scores):
    joint, rows = walking(Autoregression(0.0))
    joint.model.step = lambda position, memory: (torch.zeros_like(position), memory, {})
    found = scores(Mixing(clusters=2, chains=4, steps=100, warmup=1)(joint, rows))
    assert np.isnan(found["steps_per_draw"].value) and float(found["changes"].value) == 0
