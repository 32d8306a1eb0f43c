"""The fit loop: which batches arrive when, what a move may write, and what the caller never notices."""

import random
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from genprob.data.batch import Minibatches
from genprob.data.schema import Schema
from genprob.engine.assign import Assign
from genprob.engine.blocks import Blocks
from genprob.engine.descend import Descend
from genprob.engine.fit import fit
from genprob.engine.phase import Phase
from genprob.errors import PluginError
from genprob.model import Model


@dataclass
class Spy:
    """A move that only notes the batches it is given."""

    name: str = "spy"
    data: str = "fresh"
    repeat: int = 1
    every: int = 1
    writes: frozenset = frozenset()
    seen: list = field(default_factory=list)

    def init(self, blocks):
        return {}

    def apply(self, blocks, memory, batch):
        self.seen.append(batch)
        return {}, memory, {"seen": torch.tensor(len(self.seen))}

    @property
    def rows(self):
        return [None if b is None else b.index.tolist() for b in self.seen]


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1)


@pytest.fixture
def rows(batch_of):
    return batch_of(torch.arange(10.0)[:, None])


# --- batches


def test_fresh_batches_are_an_epoch_and_a_function_of_the_step(rows, run, state_of):
    spy = Spy()
    run([spy], Blocks({}), 6, Minibatches(rows, 4, seed=5))
    for epoch in (spy.rows[:3], spy.rows[3:]):
        assert sorted(chain(*epoch)) == list(range(10)) and [len(b) for b in epoch] == [4, 4, 2]
    assert spy.rows[:3] != spy.rows[3:], "every epoch has its own order"
    later = Spy()
    state = state_of(Blocks({}))
    state.step = state.phase_step = 4
    list(fit([Phase((later,), 6)], state, Minibatches(rows, 4, seed=5)))
    assert later.rows == spy.rows[4:]
    other = Spy()
    run([other], Blocks({}), 3, Minibatches(rows, 4, seed=6))
    assert other.rows != spy.rows[:3]


def test_repeated_fresh_batches_go_on_through_the_epoch(rows, run):
    critic, generator = Spy("critic", repeat=2), Spy("generator")
    run([critic, generator], Blocks({}), 2, Minibatches(rows, 4, seed=0))
    drawn = [*critic.rows[:2], *generator.rows[:1], *critic.rows[2:], *generator.rows[1:]]
    assert sorted(chain(*drawn[:3])) == sorted(chain(*drawn[3:])) == list(range(10))


def test_same_full_and_none(rows, run):
    a, b = Spy("a", data="same", repeat=2), Spy("b", data="same")
    whole, nothing = Spy("whole", data="full"), Spy("nothing", data="none")
    run([a, whole, nothing, b], Blocks({}), 2, Minibatches(rows, 4, seed=0))
    assert a.seen[0] is a.seen[1] is b.seen[0] and a.seen[2] is a.seen[3] is b.seen[1]
    assert a.rows[0] != a.rows[2] and sorted(a.rows[0] + a.rows[2]) != list(range(10))
    assert whole.rows == [list(range(10))] * 2 and nothing.rows == [None, None]


def test_same_is_the_first_fresh_batch_of_the_step(rows, run):
    fresh, same = Spy("fresh", repeat=2), Spy("same", data="same")
    run([fresh, same], Blocks({}), 3, Minibatches(rows, 3, seed=0))
    assert same.rows == fresh.rows[::2]


def test_every_counts_the_steps_of_the_phase(rows, state_of):
    first, often, rarely = Spy("first"), Spy("often"), Spy("rarely", every=3)
    state = state_of(Blocks({}))
    phases = [Phase((first,), 2), Phase((often, rarely), 7)]
    metrics = list(fit(phases, state, Minibatches(rows, 4, 0)))
    assert (len(first.seen), len(often.seen), len(rarely.seen)) == (2, 7, 3)
    assert [i for i, m in enumerate(metrics) if "rarely.seen" in m] == [2, 5, 8]


# --- phases


def test_phases_follow_one_another_and_the_position_is_settled_at_each_yield(state_of):
    a, b = Spy("a", data="none"), Spy("b", data="none")
    state = state_of(Blocks({}))
    phases = [Phase((a,), 2, name="warm"), Phase((b,), 0), Phase((b,), 3)]
    seen = [(state.phase, state.phase_step, state.step) for _ in fit(phases, state)]
    assert seen == [(0, 1, 1), (1, 0, 2), (2, 1, 3), (2, 2, 4), (2, 3, 5)]
    assert (len(a.seen), len(b.seen)) == (2, 3) and not state.finished
    assert list(fit(phases, state)) == [], "nothing is left to do"


def test_a_condition_ends_a_phase_and_after_the_last_the_fit_for_good(state_of):
    a, b = Spy("a", data="none"), Spy("b", data="none")
    state = state_of(Blocks({}))

    def enough(state, metrics):
        return bool(next(iter(metrics.values())) >= 3)

    phases = [Phase((a,), 100, enough), Phase((b,), 100, enough)]
    list(fit(phases, state))
    assert (len(a.seen), len(b.seen), state.step, state.finished) == (3, 3, 6, True)
    assert list(fit([Phase((a,), 100), Phase((b,), 1000)], state)) == []


def test_more_steps_go_on_where_the_steps_ended(state_of):
    a = Spy("a", data="none")
    state = state_of(Blocks({}))
    list(fit([Phase((a,), 2)], state))
    list(fit([Phase((a,), 5)], state))
    assert len(a.seen) == 5 and state.step == 5


def test_the_caller_may_stop_and_nothing_runs_ahead(state_of):
    a = Spy("a", data="none")
    state = state_of(Blocks({}))
    for _ in fit([Phase((a,), 100)], state):
        if state.step == 3:
            state.finished = True
    assert len(a.seen) == 3 == state.step


def test_no_phase_is_no_step(state_of):
    assert list(fit([], state_of(Blocks({})))) == []


@pytest.mark.parametrize(
    "moves, message",
    [
        ([Spy("a"), Spy("a", data="none")], "two moves of one name: a, a"),
        ([Spy("a", repeat=0)], "repeat=0"),
        ([Spy("a", every=0)], "every=0"),
    ],
)
def test_moves_that_cannot_be_run_are_refused_before_the_first_step(moves, message, state_of, rows):
    with pytest.raises(PluginError, match=message):
        fit([Phase((Spy("ok"),), 1), Phase(tuple(moves), 1)], state_of(Blocks({})), Minibatches(rows, 4, 0))


def test_a_move_that_wants_data_is_refused_without(state_of):
    with pytest.raises(PluginError, match="'spy' wants data"):
        fit([Phase((Spy(),), 1)], state_of(Blocks({})))


# --- writes


def strays():
    def returned(blocks):
        return {"theirs.weight": torch.zeros(1, 1)}

    def parameter(blocks):
        blocks["theirs.weight"].add_(1)

    def through_data(blocks):
        blocks["chains"].add_(1)

    def replaced(blocks):
        blocks.tensors["chains"] = torch.zeros(3)

    def added(blocks):
        blocks.tensors["more"] = torch.zeros(3)

    def exchanged(blocks):
        blocks.modules["theirs"].weight = nn.Parameter(torch.zeros(1, 1))

    return [returned, parameter, through_data, replaced, added, exchanged]


@pytest.mark.parametrize("write", strays(), ids=lambda f: f.__name__)
def test_stray_writes_are_refused(write, run):
    blocks = Blocks({"mine": nn.Linear(1, 1), "theirs": nn.Linear(1, 1)}, {"chains": torch.zeros(3)})
    move = Assign("stray", frozenset({"mine.*"}), lambda b, _: (write(b) or {}, {}), data="none")
    with pytest.raises(PluginError, match=r"'stray' writes '(theirs.weight|chains|more)', outside mine\.\*"):
        run([move], blocks, 1)


def test_a_stray_return_is_not_written(run):
    blocks = Blocks({}, {"mine": torch.zeros(1), "theirs": torch.zeros(1)})
    updates = {"mine": torch.ones(1), "theirs": torch.ones(1)}
    with pytest.raises(PluginError):
        run([Assign("stray", frozenset({"mine"}), lambda b, _: (updates, {}), data="none")], blocks, 1)
    assert float(blocks["theirs"]) == 0.0


def players():
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    critic = nn.utils.parametrizations.spectral_norm(nn.Linear(3, 3))
    return Blocks({"generator": generator, "critic": critic})


def test_a_module_that_is_not_written_keeps_its_running_statistics(run):
    blocks = players()

    def score(b, _):
        fake = b.modules["generator"](torch.randn(8, 2))
        return b.modules["critic"](fake).square().mean()

    buffers = {n: t.clone() for n, t in blocks.flat().items() if not isinstance(t, nn.Parameter)}
    run([Descend("critic", frozenset({"critic.*"}), score, sgd, data="none")], blocks, 3)
    moved = {n for n, t in buffers.items() if not torch.equal(blocks[n], t)}
    assert moved and all(n.startswith("critic.") for n in moved), "spectral norm's vectors move with their own block"
    run([Descend("generator", frozenset({"generator.*"}), score, sgd, data="none")], blocks, 1)
    assert not torch.equal(blocks["generator.1.running_mean"], buffers["generator.1.running_mean"])


def test_foreign_statistics_come_back_though_the_move_fails(run):
    blocks = players()
    before = blocks["generator.1.running_mean"].clone()

    def loss(b, _):
        b.modules["generator"](torch.randn(8, 2))
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        run([Descend("critic", frozenset({"critic.*"}), loss, sgd, data="none")], blocks, 1)
    assert torch.equal(blocks["generator.1.running_mean"], before)


# --- what the caller never notices


def surroundings():
    return (
        torch.get_rng_state().tolist(),
        np.random.get_state()[1].tolist(),
        random.getstate(),
        dict(pyro.settings.get()),
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
        sorted(pyro.get_param_store().keys()),
    )


def test_the_callers_random_numbers_and_settings_stand_at_each_yield_and_after_errors(state_of):
    pyro.clear_param_store()
    blocks = Blocks({"net": nn.Linear(1, 1)})

    def loss(blocks, batch):
        value = blocks["net.weight"].sum() * torch.randn(())
        assert pyro.settings.get("module_local_params")
        if state.step == 3:
            raise RuntimeError("broken")
        return value

    before = surroundings()
    state = state_of(blocks)
    with pytest.raises(RuntimeError, match="broken"):
        for _ in fit([Phase((Descend("fit", frozenset({"net.*"}), loss, sgd, data="none"),), 9)], state):
            assert surroundings() == before
    assert surroundings() == before and state.step == 3


def test_a_fit_draws_the_same_numbers_whatever_the_caller_does(run, state_of):
    def noise(b, _):
        return {"w": b["w"] + torch.randn(2)}, {}

    def walk(disturb):
        blocks = Blocks({}, {"w": torch.zeros(2)})
        state = state_of(blocks, 7)
        for _ in fit([Phase((Assign("walk", frozenset({"w"}), noise, data="none"),), 5)], state):
            if disturb:
                torch.manual_seed(state.step)
                torch.randn(3)
        return blocks["w"]

    assert torch.equal(walk(False), walk(True))
    other = Blocks({}, {"w": torch.zeros(2)})
    run([Assign("walk", frozenset({"w"}), noise, data="none")], other, 5, seed=8)
    assert not torch.equal(walk(False), other["w"])


def test_pyro_modules_leave_the_parameter_store_empty(run):
    pyro.clear_param_store()

    class Net(Model):
        def __init__(self):
            super().__init__(Schema(()))
            self.scale = pyro.nn.PyroParam(torch.tensor(2.0), constraint=dist.constraints.positive)
            self.linear = pyro.nn.PyroModule[nn.Linear](2, 1)

        def forward(self, x):
            return self.linear(x) * self.scale

    def fitted():
        torch.manual_seed(1)
        net = Net()
        blocks = Blocks({"net": net})
        loss = lambda b, _: (net(torch.ones(3, 2)) - 1).square().mean()  # noqa: E731
        _, metrics = run([Descend("fit", frozenset({"net.*"}), loss, sgd, data="none")], blocks, 20)
        return [float(m["fit.loss"]) for m in metrics]

    first, second = fitted(), fitted()
    assert first == second and first[-1] < 0.1 * first[0], "the second of its kind trains as the first did"
    assert not list(pyro.get_param_store().keys())
