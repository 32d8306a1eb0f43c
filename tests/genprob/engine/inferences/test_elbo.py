"""Variational inference as a program of one move; several models train side by side."""

import pyro
import pytest
import torch

from genprob.data.batch import Minibatches, as_batch
from genprob.data.infer import infer_schema
from genprob.data.readers import read
from genprob.data.table import Table
from genprob.engine.fit import fit
from genprob.engine.inferences.elbo import elbo
from genprob.engine.randomness import Randomness
from genprob.engine.state import State
from genprob_mixture.mixture import Mixture


@pytest.fixture(scope="module")
def rows(table, schema):
    data = Table.from_dataset(infer_schema(read(table, schema=schema), None), read(table))
    return as_batch(data)


def begun(rows, seed, steps=40):
    mixture = Mixture(rows.schema, components=3)
    mixture.prepare(rows, seed=seed)
    program = elbo(mixture, steps=steps, lr=0.05, batch_size=30, holdout=0.0)
    state = State(program.blocks, Randomness(seed))
    return mixture, state, fit(program.phases, state, Minibatches(rows, program.batch_size, seed))


def likelihood(mixture, rows):
    with torch.no_grad():
        return float(torch.logsumexp(mixture.weights() + mixture.component_log_density(rows), 1).mean())


def test_it_raises_the_likelihood(rows):
    mixture, _, steps = begun(rows, 1)
    before = likelihood(mixture, rows)
    losses = [float(m["elbo.loss"]) for m in steps]
    assert likelihood(mixture, rows) > before + 0.02
    assert sum(losses[-10:]) < sum(losses[:10])


def test_two_models_in_one_process_train_as_each_would_alone(rows):
    pyro.clear_param_store()
    alone = []
    for seed in (1, 2):
        mixture, _, steps = begun(rows, seed)
        list(steps)
        alone.append({k: v.clone() for k, v in mixture.state_dict().items()})
    (first, one, a), (second, two, b) = begun(rows, 1), begun(rows, 2)
    start = [likelihood(first, rows), likelihood(second, rows)]
    for _ in range(40):
        next(a), next(b)
    assert one.step == two.step == 40
    for mixture, wanted in zip((first, second), alone, strict=True):
        assert all(torch.equal(value, wanted[name]) for name, value in mixture.state_dict().items())
    assert likelihood(first, rows) > start[0] and likelihood(second, rows) > start[1]
    assert not list(pyro.get_param_store().keys())


def test_the_options_reach_the_program(rows):
    mixture = Mixture(rows.schema, components=2)
    program = elbo(mixture, steps=9, batch_size=7, holdout=0.3, patience=4, evaluate_every=2, clip=None)
    move = program.phases[0].moves[0]
    assert (program.phases[0].steps, program.batch_size, program.holdout) == (9, 7, 0.3)
    assert (program.patience, program.evaluate_every, move.horizon, move.clip) == (4, 2, 9, None)
