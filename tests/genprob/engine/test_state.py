"""State: cut anywhere, saved, and restored elsewhere, every kind of move goes on as if it had never stopped."""

import copy
import random

import pytest
import torch
from torch import nn

from genprob.data.batch import Minibatches
from genprob.engine import checkpoint
from genprob.engine.assign import Assign
from genprob.engine.blocks import Blocks
from genprob.engine.descend import Descend, adam, warmup_cosine
from genprob.engine.early_stopping import EarlyStopping
from genprob.engine.fit import fit
from genprob.engine.phase import Phase
from genprob.engine.randomness import Randomness
from genprob.engine.state import State
from genprob.engine.transition import Transition
from genprob.errors import PluginError

STEPS = 14


def net(seed=0):
    generator = torch.Generator().manual_seed(seed)
    made = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Dropout(0.3), nn.Linear(4, 1)).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return made


def error(blocks, batch):
    """Squared error of a noisy net; it draws random numbers."""
    x = batch.values[:, :2] + 0.1 * torch.randn(len(batch), 2)
    return (blocks.modules["net"](x)[:, 0] - batch.values[:, 2]).square().mean()


def descend(optimizer, **options):
    move = Descend("fit", frozenset({"net.*"}), error, optimizer, horizon=STEPS, **options)
    return [Phase((move,), STEPS)], Blocks({"net": net()})


def annealed():
    return descend(adam(0.05), schedule=warmup_cosine(), clip=0.5, ema=0.9, accumulate=2)


def lbfgs():
    return descend(lambda p: torch.optim.LBFGS(p, lr=0.3, max_iter=3, line_search_fn="strong_wolfe"), data="full")


class Walk:
    def init(self, position):
        return {"size": torch.tensor(0.5), "count": 0, "trail": [position.mean(0)]}

    def step(self, position, memory):
        new = position + memory["size"] * torch.randn_like(position)
        trail = [*memory["trail"], new.mean(0)][-3:]
        return new, {"size": memory["size"] * 0.9, "count": memory["count"] + 1, "trail": trail}, {}


def transition():
    move = Transition("walk", "chains", lambda blocks, batch: Walk(), repeat=2)
    return [Phase((move,), STEPS)], Blocks({}, {"chains": torch.zeros(5, 2)})


def assign():
    def visit(blocks, batch):
        rows = blocks["rows"].clone()
        rows[batch.index] += torch.rand(len(batch))
        return {"rows": rows, "statistics.total": rows.sum(0, keepdim=True)}, {}

    move = Assign("visit", frozenset({"rows", "statistics.*"}), visit, data="fresh")
    return [Phase((move,), STEPS)], Blocks({}, {"rows": torch.zeros(20)})


def phases():
    """A sampling phase that a condition ends, then a game of two players, one with more turns."""

    def far(state, metrics):
        return bool(state.blocks["chains"].abs().max() > 2.0) or state.phase_step == 6

    def play(blocks, batch):
        return blocks.modules["a"](blocks.modules["b"](batch.values[:, :2])).mean()

    def unplay(blocks, batch):
        return -play(blocks, batch)

    made = {"a": nn.Linear(2, 1).double(), "b": nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).double()}
    with torch.no_grad():
        for seed, parameter in enumerate(p for m in made.values() for p in m.parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed)))
    return [
        Phase((Transition("walk", "chains", lambda blocks, batch: Walk()),), 8, far),
        Phase(
            (
                Descend("critic", frozenset({"a.*"}), play, lambda p: torch.optim.SGD(p, 0.1, 0.9), repeat=2),
                Descend("maker", frozenset({"b.*"}), unplay, adam(0.1), every=2, data="same"),
            ),
            STEPS,
        ),
    ], Blocks(made, {"chains": torch.zeros(5, 2)})


KINDS = {
    "adam": lambda: descend(lambda p: torch.optim.Adam(p, lr=0.05, amsgrad=True)),
    "momentum": lambda: descend(lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True)),
    "annealed": annealed,
    "lbfgs": lbfgs,
    "transition": transition,
    "assign": assign,
    "phases": phases,
}


@pytest.fixture
def batches(batch_of):
    values = torch.randn(20, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return Minibatches(batch_of(values), 7, 0)


def everything(state):
    return copy.deepcopy(state.tree())


@pytest.mark.parametrize("kind", KINDS)
def test_cut_saved_and_restored_is_unbroken_bit_for_bit(kind, batches, tmp_path, same):
    whole_phases, blocks = KINDS[kind]()
    whole = State(blocks, Randomness(3))
    told = [{k: float(v) for k, v in m.items()} for m in fit(whole_phases, whole, batches)]
    cuts = sorted(random.Random(kind).sample(range(1, whole.step), 4))
    for cut in cuts:
        first_phases, blocks = KINDS[kind]()
        first = State(blocks, Randomness(3))
        for _ in fit(first_phases, first, batches):
            if first.step == cut:
                break
        checkpoint.save(tmp_path / f"{cut}", first.tree())
        torch.manual_seed(cut)  # whatever happens in between
        second_phases, blocks = KINDS[kind]()
        second = State(blocks, Randomness(99))
        second.restore(checkpoint.load(tmp_path / f"{cut}"))
        rest = [{k: float(v) for k, v in m.items()} for m in fit(second_phases, second, batches)]
        assert rest == told[cut:], f"cut at {cut}"
        assert same(everything(second), everything(whole)), f"cut at {cut}"


def test_early_stopping_remembers_how_long_it_waited(batch_of, tmp_path, same):
    """The held-out score falls after step 6; patience of 3 looks, every 2 steps, ends it at step 12."""

    class Scores:
        def score_rows(self, batch):
            return torch.full((len(batch),), -abs(state.step - 6.0)) + 0 * torch.randn(len(batch))

    def counted(blocks, batch):
        return {"w": blocks["w"] + torch.randn(1)}, {}

    def began():
        state = State(Blocks({}, {"w": torch.zeros(1)}), Randomness(0))
        return state, [Phase((Assign("count", frozenset({"w"}), counted, data="none"),), 100)]

    watcher = EarlyStopping(Scores(), batch_of([[0.0]]), every=2, patience=3)

    def on(upto):
        for _ in fit(phases, state):
            watcher.observe(state)
            state.finished = watcher.ended(state)
            if state.step == upto:
                return

    state, phases = began()
    on(None)
    whole = everything(state)
    assert state.step == 12 and state.memory["early stopping"]["best_step"] == 6
    for cut in (5, 8, 11):
        state, phases = began()
        on(cut)
        checkpoint.save(tmp_path / f"{cut}", state.tree())
        state, phases = began()
        state.restore(checkpoint.load(tmp_path / f"{cut}"))
        on(None)
        assert same(everything(state), whole)


def test_restore_copies_and_leaves_the_tree_as_it_was(batches, same):
    phases, blocks = KINDS["annealed"]()
    state = State(blocks, Randomness(3))
    for _ in fit(phases, state, batches):
        if state.step == 5:
            break
    tree = everything(state)
    kept = copy.deepcopy(tree)
    other_phases, blocks = KINDS["annealed"]()
    other = State(blocks, Randomness(0))
    other.restore(tree)
    list(fit(other_phases, other, batches))
    assert same(tree, kept)


def test_going_back_in_the_same_process_is_the_same_as_anew(batches, same):
    """The very moves that ran on are taken back to an earlier tree: nothing of them remembers."""
    phases, blocks = KINDS["adam"]()
    state = State(blocks, Randomness(3))
    tree = None
    for _ in fit(phases, state, batches):
        if state.step == 4:
            tree = everything(state)
    end = everything(state)
    state.restore(tree)
    list(fit(phases, state, batches))
    assert same(everything(state), end)


def test_a_tree_of_other_blocks_is_refused():
    _, blocks = KINDS["adam"]()
    state = State(blocks, Randomness(3))
    tree = everything(state)
    del tree["blocks"]["net.0.weight"]
    with pytest.raises(PluginError, match=r"net\.0\.weight"):
        state.restore(tree)


def test_a_checkpoint_holds_what_it_says(batches):
    phases, blocks = KINDS["phases"]()
    state = State(blocks, Randomness(3))
    list(fit(phases, state, batches))
    tree = state.tree()
    assert set(tree) == {"blocks", "memory", "rng", "phase", "step", "phase_step", "finished"}
    assert set(tree["memory"]) == {"walk", "critic", "maker"} and tree["phase"] == 1 and tree["phase_step"] == STEPS
    assert tree["memory"]["critic"]["count"] == 2 * STEPS and tree["memory"]["maker"]["count"] == STEPS // 2
