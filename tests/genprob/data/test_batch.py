"""Batches: feasible fillers, masks, and minibatches as a function of the step."""

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch

from genprob.data.batch import Minibatches, as_batch
from genprob.data.measure import Cell
from genprob.data.schema import Schema, Variable
from genprob.data.support import Binary, Categorical, Count, Interval, Positive, Real
from genprob.data.table import Table

SCHEMA = Schema(
    (
        Variable("x", Real()),
        Variable("p", Positive()),
        Variable("u", Interval(-4, 2)),
        Variable("c", Positive(), Cell(0.5)),
        Variable("g", Categorical(("a", "b", "c"))),
        Variable("b", Binary()),
        Variable("n", Count()),
        Variable("v", Real(), dims=("t",), shape=(3,)),
    )
)


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    values = rng.uniform(0.1, 1.9, (200, SCHEMA.width))
    values[:, 3] = np.round(values[:, 3] * 2) / 2 + 0.5
    values[:, 4:7] = rng.integers(0, 2, (200, 3))
    values[rng.random(values.shape) < 0.3] = np.nan
    values[0] = np.nan
    return Table(SCHEMA, values)


def test_holes_hold_values_of_the_support_and_known_cells_their_own(table):
    batch = as_batch(table)
    known = ~np.isnan(table.values)
    assert torch.equal(batch.observed, torch.as_tensor(known))
    np.testing.assert_array_equal(batch.values.numpy()[known], table.values[known])
    for j, variable in enumerate(SCHEMA.columns):
        assert variable.support.contains(batch.values[:, j].numpy()).all(), variable.name


def test_variables_come_in_their_event_shape(table):
    batch = as_batch(table)
    assert batch["x"].shape == (200,) and batch["v"].shape == batch.mask("v").shape == (200, 3)
    assert torch.equal(batch["v"], batch.values[:, 7:]) and torch.equal(batch.mask("g"), batch.observed[:, 4])
    some = batch.take(torch.tensor([5, 3]))
    assert some.index.tolist() == [5, 3] and some.total == 200 and torch.equal(some["v"][1], batch["v"][3])


def test_precision_is_what_is_asked(table):
    assert as_batch(table).values.dtype == torch.float64
    assert as_batch(table, dtype=torch.float32).values.dtype == torch.float32


@pytest.mark.parametrize("size", [1, 7, 64, 199])
def test_an_epoch_sees_every_row_once(table, size):
    batches = Minibatches(as_batch(table), size, seed=3)
    steps = -(-200 // size)
    for epoch in range(2):
        seen = torch.cat([batches(epoch * steps + s).index for s in range(steps)])
        assert sorted(seen.tolist()) == list(range(200))
    first, second = (torch.cat([batches(e * steps + s).index for s in range(steps)]) for e in (0, 1))
    assert not torch.equal(first, second)


def test_a_batch_depends_on_seed_and_step_alone(table):
    whole = as_batch(table)
    forward, backward = Minibatches(whole, 32, seed=1), Minibatches(whole, 32, seed=1)
    steps = list(range(20))
    there = {s: forward(s).index.tolist() for s in steps}
    back = {s: backward(s).index.tolist() for s in reversed(steps)}
    assert there == back
    assert Minibatches(whole, 32, seed=2)(0).index.tolist() != there[0]


def test_a_batch_as_large_as_the_data_is_the_data(table):
    whole = as_batch(table)
    assert Minibatches(whole, 200, 0)(5) is whole and Minibatches(whole, 9, 0).full() is whole


def test_the_plate_scales_to_the_whole(table):
    part = as_batch(table).take(torch.arange(50))

    def model():
        with part.plate():
            pyro.sample("z", dist.Normal(0, 1), obs=torch.zeros(50))

    trace = pyro.poutine.trace(model).get_trace()
    assert trace.log_prob_sum().item() == pytest.approx(200 * -0.5 * np.log(2 * np.pi), rel=1e-5)
