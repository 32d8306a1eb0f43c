"""Toy rows, and the loop that a caller of the engine writes."""

import copy
import random

import pytest
import torch

from genprob.data.batch import Batch
from genprob.data.schema import Schema, Variable
from genprob.data.support import Real
from genprob.engine import checkpoint
from genprob.engine.blocks import Blocks
from genprob.engine.fit import fit
from genprob.engine.phase import Phase
from genprob.engine.randomness import Randomness
from genprob.engine.state import State


@pytest.fixture
def batch_of():
    def make(values):
        values = torch.as_tensor(values, dtype=torch.float64)
        schema = Schema(tuple(Variable(f"x{j}", Real()) for j in range(values.shape[1])))
        return Batch(schema, values, torch.ones(values.shape, dtype=torch.bool), torch.arange(len(values)), len(values))

    return make


@pytest.fixture
def state_of():
    def make(blocks, seed=0):
        return State(blocks, Randomness(seed))

    return make


@pytest.fixture
def run(state_of):
    """Runs moves over blocks for some steps; returns the state and the metrics of every step."""

    def go(moves, blocks, steps, batches=None, seed=0):
        state = state_of(blocks, seed)
        metrics = list(fit([Phase(tuple(moves), steps)], state, batches))
        return state, metrics

    return go


@pytest.fixture
def same():
    """Equality of trees, bit for bit."""

    def equal(a, b):
        if isinstance(a, torch.Tensor):
            return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
        if isinstance(a, dict):
            return isinstance(b, dict) and set(a) == set(b) and all(equal(a[k], b[k]) for k in a)
        if isinstance(a, (list, tuple)):
            return isinstance(b, (list, tuple)) and len(a) == len(b) and all(map(equal, a, b))
        return a == b

    return equal


@pytest.fixture
def blocks_of():
    return lambda modules=None, **tensors: Blocks(modules or {}, tensors)


@pytest.fixture
def unbroken(tmp_path, same):
    """Runs what `make() -> (phases, blocks)` makes; again, cut at random, saved and continued elsewhere: bit for bit.

    Returns the state of the unbroken run and its metrics.
    """

    def go(make, batches=None, cuts=3, seed=0):
        def begun(seed):
            phases, blocks = make()
            return phases, State(blocks, Randomness(seed))

        phases, whole = begun(seed)
        told = [{k: float(v) for k, v in m.items()} for m in fit(phases, whole, batches)]
        end = copy.deepcopy(whole.tree())
        for cut in sorted(random.Random(seed).sample(range(1, whole.step), cuts)):
            phases, first = begun(seed)
            for _ in fit(phases, first, batches):
                if first.step == cut:
                    break
            checkpoint.save(tmp_path / str(cut), first.tree())
            torch.manual_seed(cut)  # whatever happens in between
            phases, second = begun(seed + 1)
            second.restore(checkpoint.load(tmp_path / str(cut)))
            rest = [{k: float(v) for k, v in m.items()} for m in fit(phases, second, batches)]
            assert str(rest) == str(told[cut:]), f"metrics after a cut at {cut}"
            assert same(second.tree(), end), f"state after a cut at {cut}"
        return whole, told

    return go
