"""A compiled descent is the descent: its losses, random numbers and checkpoints; where it cannot be, that is said."""

from itertools import islice

import numpy as np
import pytest
import torch

import genprob
from genprob.data.batch import Minibatches, as_batch
from genprob.data.measure import Cell
from genprob.data.schema import Schema, Variable
from genprob.data.support import Binary, Categorical, Count, Interval, Positive, Real
from genprob.data.table import Table
from genprob.engine import graph
from genprob.engine.descend import Descend, adam
from genprob.engine.fit import fit
from genprob.engine.inferences.elbo import elbo
from genprob.engine.inferences.iwae import iwae
from genprob.engine.randomness import Randomness
from genprob.engine.scope import running
from genprob.engine.state import State
from genprob.errors import PluginError, UsageError
from genprob.plugins import resolve

SCHEMA = Schema(
    (
        Variable("x", Real()),
        Variable("y", Real(), Cell(0.1)),
        Variable("p", Positive()),
        Variable("i", Interval(0.0, 1.0)),
        Variable("b", Binary()),
        Variable("g", Categorical(("a", "b", "c"))),
        Variable("n", Count()),
    )
)
needs_compiler = pytest.mark.skipif(graph.compiler() is None, reason="no C++ compiler")


def table(rows: int = 70, holes: float = 0.0) -> Table:
    rng = np.random.default_rng(0)
    z = rng.normal(size=rows)
    x = np.stack(
        [z, np.round(z + rng.normal(size=rows), 1), np.exp(z), 1 / (1 + np.exp(-z)), z > 0, z // 1 % 3, z // 1 % 5], 1
    )
    x[rng.random(x.shape) < holes] = np.nan
    return Table(SCHEMA, x)


def state(inference, holes: float = 0.0, width: int = len(SCHEMA), **options):
    """A small model's program, its state and its batches of 32; 70 rows end an epoch with six."""
    schema = Schema(SCHEMA.variables[:width])
    rows = as_batch(Table(schema, table(holes=holes).values[:, :width]), dtype=torch.float64)
    with running(Randomness(0)):
        model = resolve("genprob_variational.vae:VAE")(schema, latent=2, hidden=(8,))
        model.prepare(rows, seed=0)
    program = inference(model, steps=100, lr=1e-2, batch_size=32, holdout=0.0, **options)
    return program, State(program.blocks, Randomness(1), horizon=100), Minibatches(rows, 32, 0)


def run(steps: int, program, at, batches):
    found = islice(fit(program.phases, at, batches), steps)
    return [{k: float(v) for k, v in metrics.items()} for metrics in found], at


@pytest.fixture
def untouched(monkeypatch):
    """Graphs that are traced and run as they are, which costs no compiling."""
    monkeypatch.setattr(torch, "compile", lambda traced, **options: traced)


@pytest.mark.parametrize(
    ("inference", "options", "holes"),
    [
        (elbo, {}, 0.0),
        (elbo, {}, 0.3),
        (elbo, {"amortise": 1.0, "particles": 2, "beta": 0.5}, 0.3),
        (iwae, {"k": 3}, 0.0),
        (iwae, {"k": 3}, 0.3),
        (iwae, {"k": 3, "doubly": False, "amortise": 0.0}, 0.3),
    ],
)
def test_a_traced_loss_is_the_loss_bit_for_bit(inference, options, holes, untouched):
    plain, _ = run(7, *state(inference, holes, **options))
    traced, _ = run(7, *state(inference, holes, compile=True, **options))
    assert traced == plain
    assert plain[0] != plain[3]


@needs_compiler
def test_a_compiled_fit_is_the_fit_up_to_rounding_and_resumes_bit_for_bit():
    plain, theirs = run(7, *state(elbo, 0.3, 1))
    compiled, ours = run(7, *state(elbo, 0.3, 1, compile=True))
    for eager, mine in zip(plain, compiled, strict=True):
        assert mine == pytest.approx(eager, rel=1e-4)
    flat = ours.blocks.flat()
    for name, tensor in theirs.blocks.flat().items():
        assert torch.allclose(tensor, flat[name], rtol=1e-3, atol=1e-5), name

    program, first, batches = state(elbo, 0.3, 1, compile=True)
    run(3, program, first, batches)
    program, second, batches = state(elbo, 0.3, 1, compile=True)
    second.restore(first.tree())
    rest, second = run(4, program, second, batches)
    assert rest == compiled[3:]
    assert all(torch.equal(tensor, flat[name]) for name, tensor in second.blocks.flat().items())


def test_without_a_compiler_the_fit_goes_on_and_says_so(monkeypatch):
    monkeypatch.setattr(graph, "compiler", lambda: None)
    data = {"x": np.arange(20.0) % 3.5, "y": np.arange(20.0) % 2.5}
    options = {"name": "elbo", "compile": True, "holdout": 0.0}
    joint = genprob.fit(data, "vae", latent=1, hidden=(4,), steps=2, inference=options)
    assert graph.NO_COMPILER in joint.notes
    silent = genprob.fit(data, "vae", latent=1, hidden=(4,), steps=2, inference={**options, "compile": False})
    assert graph.NO_COMPILER not in silent.notes
    assert joint.log_prob(data)["log_prob"].equals(silent.log_prob(data)["log_prob"])


def test_a_loss_that_looks_at_numbers_is_refused_in_one_line():
    data = {"x": np.arange(20.0) % 3.5, "g": list("ab") * 10}
    with pytest.raises(UsageError, match=r"compile=true: the loss cannot be compiled \(.+\); leave it out") as said:
        genprob.fit(data, "ssvae", latent=1, hidden=(4,), steps=2, inference={"name": "elbo", "compile": True})
    assert "\n" not in str(said.value)


def test_what_does_not_go_together_is_refused():
    program, at, batches = state(elbo)
    loss = program.phases[0].moves[0].loss
    move = Descend("elbo", frozenset({"model.*"}), loss, adam(1e-3), accumulate=2, compiled=32)
    with pytest.raises(PluginError, match="neither LBFGS nor accumulate"):
        move.apply(at.blocks, move.init(at.blocks), batches(0))
