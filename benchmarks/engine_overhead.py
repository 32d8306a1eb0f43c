"""What the engine costs: one gradient move through `engine.fit`, beside loops written by hand, on a step of ~1 ms."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import nn

from benchmarks import tables
from benchmarks.timing import threads
from genprob.data.batch import Batch, Minibatches
from genprob.data.schema import Schema, Variable
from genprob.data.support import Real
from genprob.engine.blocks import Blocks
from genprob.engine.descend import Descend
from genprob.engine.fit import fit
from genprob.engine.phase import Phase
from genprob.engine.randomness import Randomness
from genprob.engine.state import State

SEED, STEPS, ROUNDS, ROWS, SIZE, WIDTH = 0, 100, 31, 4096, 256, 16
TARGET = 1.05


def rows() -> Batch:
    values = torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(SEED))
    schema = Schema(tuple(Variable(f"x{j}", Real()) for j in range(WIDTH)))
    return Batch(schema, values, torch.ones(values.shape, dtype=torch.bool), torch.arange(ROWS), ROWS)


def network(hidden: int, depth: int) -> nn.Module:
    sizes = [WIDTH, *[hidden] * depth]
    layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(hidden, WIDTH))


def adam(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=1e-3, fused=True)


def bare(net: nn.Module, batches: Minibatches) -> None:
    """The loop that one writes by hand, with the safety that any real one has: clipping, and no step into NaN."""
    parameters = list(net.parameters())
    optimizer = adam(parameters)
    for step in range(STEPS):
        x = batches(step).values
        optimizer.zero_grad(set_to_none=True)
        loss = (net(x + 0.1 * torch.randn_like(x)) - x).square().mean()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(parameters, 1.0, foreach=True)
        if torch.isfinite(norm) & torch.isfinite(loss):
            optimizer.step()


def barest(net: nn.Module, batches: Minibatches) -> None:
    """The same without the safety."""
    optimizer = adam(list(net.parameters()))
    for step in range(STEPS):
        x = batches(step).values
        optimizer.zero_grad(set_to_none=True)
        loss = (net(x + 0.1 * torch.randn_like(x)) - x).square().mean()
        loss.backward()
        optimizer.step()


def engine(net: nn.Module, batches: Minibatches) -> None:
    def loss(blocks: Blocks, batch: Batch | None) -> torch.Tensor:
        assert batch is not None
        x = batch.values
        return (net(x + 0.1 * torch.randn_like(x)) - x).square().mean()

    move = Descend("fit", frozenset({"net.*"}), loss, adam, clip=1.0)
    for _ in fit([Phase((move,), STEPS)], State(Blocks({"net": net}), Randomness(SEED)), batches):
        pass


def cpu_seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def race(net: nn.Module, batches: Minibatches) -> tuple[list[float], list[float], list[float]]:
    """CPU milliseconds of a step of engine, bare and barest loop, round by round; who goes first takes turns."""
    contenders, times = (engine, bare, barest), ([], [], [])
    for repetition in range(-1, ROUNDS):
        for which in ((0, 1, 2), (1, 2, 0), (2, 0, 1))[repetition % 3]:
            mine = copy.deepcopy(net)
            taken = cpu_seconds(lambda call=contenders[which], mine=mine: call(mine, batches))
            if repetition >= 0:
                times[which].append(1e3 * taken / STEPS)
    return times


def main() -> None:
    torch.manual_seed(SEED)
    batches = Minibatches(rows(), SIZE, SEED)
    table = []
    with threads(1):
        for name, hidden, depth in (("1 ms", 64, 2), ("deep", 64, 12), ("smallest", 8, 1), ("larger", 256, 3)):
            net = network(hidden, depth)
            ours, theirs, least = race(net, batches)
            ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
            extra = statistics.median(a - b for a, b in zip(ours, theirs, strict=True))
            table.append(
                {
                    "step": name,
                    "network": f"{depth} x {hidden}",
                    "tensors": len(list(net.parameters())),
                    "bare ms": statistics.median(theirs),
                    "engine ms": statistics.median(ours),
                    "extra ms": extra,
                    "ratio": ratio,
                    "to barest": statistics.median(a / b for a, b in zip(ours, least, strict=True)),
                    "target": TARGET if name == "1 ms" else None,
                }
            )
    text = (
        f"One step is an autoencoder's: {SIZE} rows of {WIDTH} columns with noise, fused Adam, clipped gradients. CPU "
        f"time of {STEPS} steps, engine and hand-written loop in turn, medians of {ROUNDS} rounds; the ratio is the "
        "median of the rounds' own. Both draw their batches from the same source, clip, and leave out a step that is "
        "not finite; the engine besides swaps random numbers and settings, guards blocks against stray writes, and "
        "keeps everything for a checkpoint. It pays for that by taking gradient norms and clearing gradients with "
        "fewer calls than `clip_grad_norm_` and `zero_grad`. The barest loop neither clips nor checks: `to barest` "
        "is the whole price of a step that is safe."
    )
    tables.write("engine_overhead", "The engine beside a bare loop", text, table, seed=SEED, packages=("torch",))


if __name__ == "__main__":
    main()
