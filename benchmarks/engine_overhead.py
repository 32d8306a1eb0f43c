"""What the engine costs: one gradient move through `engine.fit`, beside loops written by hand, on a step of ~1 ms."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import nn
from torch.nn.functional import softplus

from benchmarks import tables
from benchmarks.timing import threads
from genprob.data.batch import Batch, Minibatches
from genprob.data.schema import Schema, Variable
from genprob.data.support import Real
from genprob.engine.blocks import Blocks
from genprob.engine.descend import Descend
from genprob.engine.fit import fit
from genprob.engine.losses.adversarial import critic, generator
from genprob.engine.phase import Phase
from genprob.engine.randomness import Randomness
from genprob.engine.state import State

SEED, STEPS, ROUNDS, ROWS, SIZE, WIDTH = 0, 100, 31, 4096, 256, 16
GAME_SIZE = 128
TARGET = 1.05
Contender = Callable[[nn.Module, Minibatches], None]


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


class Pair(nn.Module):
    """A generator and a critic; see `genprob.engine.capabilities.Game`."""

    def __init__(self, hidden: int, depth: int) -> None:
        super().__init__()
        self.generator, self.critic = network(hidden, depth), network(hidden, depth)

    def points(self, batch: Batch) -> torch.Tensor:
        return batch.values

    def generate(self, count: int) -> torch.Tensor:
        return self.generator(torch.randn(count, WIDTH))

    def judge(self, points: torch.Tensor) -> torch.Tensor:
        return self.critic(points)[:, 0]


def bare_game(pair: nn.Module, batches: Minibatches) -> None:
    """Two players by hand: a critic with a penalty on its slope, then the generator; no step into NaN."""
    assert isinstance(pair, Pair)
    players = [list(part.parameters()) for part in (pair.critic, pair.generator)]
    optimizers = [adam(player) for player in players]
    for step in range(STEPS):
        x = batches(step).values
        with torch.no_grad():
            made = pair.generate(len(x))
        at = x.detach().requires_grad_()
        real, fake = pair.judge(at), pair.judge(made)
        (slope,) = torch.autograd.grad(real.sum(), at, create_graph=True)
        first = (softplus(-real) + softplus(fake)).mean() + 0.5 * slope.norm(dim=1).square().mean()
        stepped(first, players[0], optimizers[0])
        stepped(softplus(-pair.judge(pair.generate(len(x)))).mean(), players[1], optimizers[1])


def stepped(loss: torch.Tensor, parameters: list[nn.Parameter], optimizer: torch.optim.Optimizer) -> None:
    """Gradients for one player alone, and a step unless something is not finite."""
    for parameter in parameters:
        parameter.grad = None
    loss.backward(inputs=parameters)
    norms = torch._foreach_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
    if torch.isfinite(torch.stack(norms).sum() + loss.detach()):
        optimizer.step()


def engine_game(pair: nn.Module, batches: Minibatches) -> None:
    assert isinstance(pair, Pair)
    moves = (
        Descend("critic", frozenset({"pair.critic.*"}), critic(pair, "logistic", 1.0), adam, data="same"),
        Descend("generator", frozenset({"pair.generator.*"}), generator(pair, "logistic"), adam, data="same"),
    )
    for _ in fit([Phase(moves, STEPS)], State(Blocks({"pair": pair}), Randomness(SEED)), batches):
        pass


def cpu_seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def race(net: nn.Module, batches: Minibatches, contenders: Sequence[Contender], rounds: int) -> list[list[float]]:
    """CPU milliseconds of a step of each contender, round by round; who goes first takes turns."""
    times: list[list[float]] = [[] for _ in contenders]
    for repetition in range(-1, rounds):
        first = repetition % len(contenders)
        for which in (*range(first, len(contenders)), *range(first)):
            mine = copy.deepcopy(net)
            taken = cpu_seconds(lambda call=contenders[which], mine=mine: call(mine, batches))
            if repetition >= 0:
                times[which].append(1e3 * taken / STEPS)
    return times


def row(
    name: str, net: nn.Module, shape: str, times: list[list[float]], target: float | None
) -> dict[str, tables.Cell]:
    """One line of the table; the last contender is the barest loop where there are three."""
    ours, theirs = times[:2]
    return {
        "step": name,
        "network": shape,
        "tensors": len(list(net.parameters())),
        "bare ms": statistics.median(theirs),
        "engine ms": statistics.median(ours),
        "extra ms": statistics.median(a - b for a, b in zip(ours, theirs, strict=True)),
        "ratio": statistics.median(a / b for a, b in zip(ours, theirs, strict=True)),
        "to barest": statistics.median(a / b for a, b in zip(ours, times[2], strict=True)) if times[2:] else None,
        "target": target,
    }


def main() -> None:
    torch.manual_seed(SEED)
    batches, table = Minibatches(rows(), SIZE, SEED), []
    with threads(1):
        for name, hidden, depth in (("1 ms", 64, 2), ("deep", 64, 12), ("smallest", 8, 1), ("larger", 256, 3)):
            net = network(hidden, depth)
            times = race(net, batches, (engine, bare, barest), ROUNDS)
            table.append(row(name, net, f"{depth} x {hidden}", times, TARGET if name == "1 ms" else None))
        pairs = Minibatches(rows(), GAME_SIZE, SEED)
        for hidden in (64, 128):
            net = Pair(hidden, 2)
            times = race(net, pairs, (engine_game, bare_game), ROUNDS)
            table.append(row(f"game, batch {GAME_SIZE}", net, f"2 x {hidden}, twice", times, TARGET))
    text = (
        f"One step is an autoencoder's: {SIZE} rows of {WIDTH} columns with noise, fused Adam, clipped gradients. CPU "
        f"time of {STEPS} steps, engine and hand-written loop in turn, medians of {ROUNDS} rounds; the ratio is the "
        "median of the rounds' own. Both draw their batches from the same source, clip, and leave out a step that is "
        "not finite; the engine besides swaps random numbers and settings, guards blocks against stray writes, and "
        "keeps everything for a checkpoint. It pays for that by taking gradient norms and clearing gradients with "
        "fewer calls than `clip_grad_norm_` and `zero_grad`. The barest loop neither clips nor checks: `to barest` "
        "is the whole price of a step that is safe. A game's step is one of a critic, whose slope at the data is "
        f"penalised, and one of a generator, {GAME_SIZE} rows each; its bare loop too takes gradients for one player "
        "alone and leaves out steps that are not finite."
    )
    tables.write("engine_overhead", "The engine beside a bare loop", text, table, seed=SEED, packages=("torch",))


if __name__ == "__main__":
    main()
