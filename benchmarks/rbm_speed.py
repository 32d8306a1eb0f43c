"""Processor seconds of an epoch of persistent contrastive divergence, 784 x 500, beside scikit-learn's BernoulliRBM."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks import tables
from benchmarks.timing import threads

ROWS, VISIBLE, HIDDEN, BATCH = 5000, 784, 500, 100
REPEATS, TARGET, SEED = 9, 0.6, 0

TEXT = """\
{rows:,} rows of {visible} binary units, {hidden} hidden units, batches and chains of {batch}, one
transition a step, single precision, one thread. Target: at most {target} x scikit-learn. Medians of the
processor seconds of {repeats} rounds in which all took turns. Ours is the engine's loop with Adam,
centring, clipping and metrics, its slope written out. Chains carry their hidden logits from the transition
to the loss, so that a step takes five products of {batch} rows, as many as scikit-learn's, and the method has no
fewer: hidden units given rows, visible ones given hidden ones, hidden ones given chains, and two slopes. The
last line is these products and nothing else, by torch on this machine: it bounds what any loop of this
precision can reach. Uniform numbers, draws, softplus, Adam's passes over the weights and the engine come on
top.
"""


def main() -> None:
    rows = np.random.default_rng(SEED).random((ROWS, VISIBLE)) < 0.2
    contenders = {
        "scikit-learn BernoulliRBM": theirs(rows),
        "genprob rbm by pcd": ours(rows),
        "the same, plain descent, not centred": ours(rows, momentum=0.0, centred=False, clip=None),
        "the five products alone": products(rows),
    }
    times: dict[str, list[float]] = {name: [] for name in contenders}
    with threads(1):
        for epoch in contenders.values():
            epoch()
        for _ in range(REPEATS):
            for name, epoch in contenders.items():
                times[name].append(spent(epoch))
    peer = next(iter(times.values()))
    found = [
        {
            "method": name,
            "CPU s / epoch": statistics.median(taken),
            "ratio to scikit-learn": statistics.median(a / b for a, b in zip(taken, peer, strict=True)),
        }
        for name, taken in times.items()
    ]
    text = TEXT.format(rows=ROWS, visible=VISIBLE, hidden=HIDDEN, batch=BATCH, target=TARGET, repeats=REPEATS)
    tables.write("rbm_speed", "Speed of a Boltzmann machine", text, found, SEED, ("torch", "scikit-learn", "numpy"))


def spent(call: Callable[[], object]) -> float:
    """The processor time of one call: wall-clock time says nothing where the machine is shared."""
    started = time.process_time()
    call()
    return time.process_time() - started


def theirs(rows: np.ndarray):
    from sklearn.neural_network import BernoulliRBM

    values = rows.astype(np.float32)

    def epoch() -> None:
        BernoulliRBM(HIDDEN, batch_size=BATCH, n_iter=1, random_state=SEED).fit(values)

    return epoch


def products(rows: np.ndarray):
    values = torch.as_tensor(rows.astype(np.float32))
    weight = torch.randn(VISIBLE, HIDDEN) * 0.01
    visible, hidden, active = torch.zeros(VISIBLE), torch.zeros(HIDDEN), torch.rand(2 * BATCH, HIDDEN)

    def epoch() -> None:
        for at in range(0, ROWS, BATCH):
            torch.addmm(hidden, values[at : at + BATCH], weight)
            torch.addmm(visible, active[:BATCH], weight.mT)
            torch.addmm(hidden, values[at : at + BATCH], weight)
            torch.mm(values[: 2 * BATCH].mT, active)

    return epoch


def ours(rows: np.ndarray, **options: Any):
    from genprob.data.batch import Batch, Minibatches
    from genprob.data.schema import Schema, Variable
    from genprob.data.support import Binary
    from genprob.engine.fit import fit
    from genprob.engine.inferences.pcd import pcd
    from genprob.engine.randomness import Randomness
    from genprob.engine.state import State
    from genprob_energy.rbm import RBM

    schema = Schema((Variable("image", Binary(), dims=("pixel",), shape=(VISIBLE,)),))
    values = torch.as_tensor(rows.astype(np.float32))
    batch = Batch(schema, values, torch.ones_like(values, dtype=torch.bool), torch.arange(ROWS), ROWS)
    model = RBM(schema, hidden=HIDDEN)
    model.prepare(batch, seed=SEED)

    def epoch() -> None:
        steps = ROWS // BATCH
        program = pcd(model, steps=steps, chains=BATCH, batch_size=BATCH, **options)
        state = State(program.blocks, Randomness(SEED, torch.device("cpu")), horizon=steps)
        for _ in fit(program.phases, state, Minibatches(batch, BATCH, SEED)):
            pass

    return epoch


if __name__ == "__main__":
    main()
