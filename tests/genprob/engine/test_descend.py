"""Descend: problems with known answers, and everything else left alone."""

import math

import pytest
import torch
from torch import nn

from genprob.data.batch import Minibatches
from genprob.engine.blocks import Blocks
from genprob.engine.descend import Descend, adam, descent, warmup, warmup_cosine
from genprob.errors import PluginError, UsageError

OPTIMIZERS = {
    "adam": (lambda p: torch.optim.Adam(p, lr=0.1), 400, 2e-3),
    "adamw": (adam(0.1), 400, 2e-3),
    "sgd": (lambda p: torch.optim.SGD(p, lr=0.1), 400, 1e-6),
    "momentum": (lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9), 400, 1e-6),
    "lbfgs": (lambda p: torch.optim.LBFGS(p, line_search_fn="strong_wolfe"), 4, 1e-5),
}


def sgd(lr=1.0):
    return lambda p: torch.optim.SGD(p, lr=lr)


def squares(blocks, batch):
    """Mean squared error of a linear model of the last column."""
    net = blocks.modules["net"]
    return (net(batch.values[:, :-1])[:, 0] - batch.values[:, -1]).square().mean()


@pytest.fixture
def regression(batch_of):
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(60, 3, generator=generator, dtype=torch.float64)
    y = x @ torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64) + 0.7
    y = y + 0.3 * torch.randn(60, generator=generator, dtype=torch.float64)
    design = torch.cat([x, torch.ones(60, 1, dtype=torch.float64)], 1)
    answer = torch.linalg.lstsq(design, y[:, None]).solution[:, 0]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Linear(3, 1).double()
    return Blocks({"net": net}), batch_of(torch.cat([x, y[:, None]], 1)), answer


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_linear_regression_reaches_the_closed_form(name, regression, run):
    blocks, rows, answer = regression
    optimizer, steps, tolerance = OPTIMIZERS[name]
    move = Descend("fit", frozenset({"net.*"}), squares, optimizer, data="full")
    _, metrics = run([move], blocks, steps, Minibatches(rows, 1000, 0))
    found = torch.cat([blocks["net.weight"][0], blocks["net.bias"]]).detach()
    torch.testing.assert_close(found, answer, atol=tolerance, rtol=0)
    assert metrics[-1]["fit.loss"] < metrics[0]["fit.loss"]
    assert not metrics[-1]["fit.loss"].requires_grad


def test_minibatches_with_a_decaying_rate_come_near_the_closed_form(regression, run):
    blocks, rows, answer = regression
    move = Descend("fit", frozenset({"net.*"}), squares, adam(0.1), warmup_cosine(), horizon=300)
    run([move], blocks, 300, Minibatches(rows, 16, 0))
    found = torch.cat([blocks["net.weight"][0], blocks["net.bias"]]).detach()
    torch.testing.assert_close(found, answer, atol=0.03, rtol=0)


def one_number(value=0.0):
    net = nn.Module()
    net.w = nn.Parameter(torch.tensor(value, dtype=torch.float64))
    return Blocks({"net": net})


def test_schedule_is_a_function_of_the_share_of_the_horizon(run):
    blocks = one_number()
    factor = warmup_cosine(0.2)
    move = Descend("fit", frozenset({"net.w"}), lambda b, _: b["net.w"], sgd(), factor, horizon=10, data="none")
    seen = []
    for _ in range(12):
        seen.append(float(blocks["net.w"].detach()))
        if len(seen) == 1:
            memory = move.init(blocks)
        _, memory, _ = move.apply(blocks, memory, None)
    expected = [factor(min(1.0, i / 10)) for i in range(11)]
    torch.testing.assert_close(-torch.tensor(seen).diff(), torch.tensor(expected), atol=1e-6, rtol=0)
    assert expected[0] < 0.01 and max(expected) == pytest.approx(1.0) and expected[-1] == pytest.approx(0.0)


def test_warmup_stays_at_one():
    factor = warmup()
    assert factor(0.0) < 0.03 and factor(0.025) == pytest.approx(0.5, abs=0.02)
    assert factor(0.05) == factor(0.6) == factor(1.0) == 1.0


def test_warmup_cosine():
    factor = warmup_cosine(0.1)
    assert factor(0.1) == pytest.approx(1) and factor(0.55) == pytest.approx(0.5) and factor(1.0) == pytest.approx(0)
    assert factor(0.05) == pytest.approx(0.5, abs=0.01) and 0 < factor(0.0) < 0.02


def test_a_rate_that_falls_late_stays_until_then():
    factor = warmup_cosine(0.1, 0.2)
    assert factor(0.1) == factor(0.5) == factor(0.8) == 1
    assert factor(0.9) == pytest.approx(0.5) and factor(1.0) == pytest.approx(0) and factor(0.05) < 0.6


def test_a_share_of_the_steps_lies_between_none_and_all():
    with pytest.raises(UsageError, match=r"decay=1.5 is no share of the steps"):
        descent("fit", lambda b, _: b["net.w"], steps=10, lr=0.1, decay=1.5)


def test_clip_bounds_the_length_of_a_step_and_the_norm_is_told_unclipped(run):
    blocks = one_number()
    move = Descend("fit", frozenset({"net.w"}), lambda b, _: 5 * b["net.w"], sgd(), clip=0.25, data="none")
    _, metrics = run([move], blocks, 1)
    assert float(blocks["net.w"].detach()) == pytest.approx(-0.25, abs=1e-6)
    assert float(metrics[0]["fit.gradient_norm"]) == pytest.approx(5)


def test_ema_is_the_moving_average_of_the_parameters(run):
    blocks = one_number(1.0)
    move = Descend("fit", frozenset({"net.w"}), lambda b, _: b["net.w"], sgd(), ema=0.9, data="none")
    state, _ = run([move], blocks, 3)
    average = 1.0
    for w in (0.0, -1.0, -2.0):
        average = 0.9 * average + 0.1 * w
    assert float(state.memory["fit"]["ema"]["net.w"]) == pytest.approx(average)
    assert float(blocks["net.w"].detach()) == -2.0


@pytest.mark.parametrize("pieces", [2, 3, 7])
def test_accumulated_pieces_equal_one_batch(pieces, regression, run, batch_of):
    blocks, rows, _ = regression
    rows = rows.take(torch.arange(10))
    start = {name: tensor.detach().clone() for name, tensor in blocks.flat().items()}
    ends, losses = [], []
    for accumulate in (1, pieces):
        blocks.assign(start)
        move = Descend("fit", frozenset({"net.*"}), squares, sgd(0.1), accumulate=accumulate, data="full")
        _, metrics = run([move], blocks, 1, Minibatches(rows, 1000, 0))
        ends.append(torch.cat([t.detach().reshape(-1) for t in blocks.flat().values()]))
        losses.append(metrics[0]["fit.loss"])
    torch.testing.assert_close(ends[0], ends[1], atol=1e-12, rtol=0)
    torch.testing.assert_close(losses[0], losses[1], atol=1e-12, rtol=0)


def test_metrics_of_pieces_are_averaged_by_their_rows(run, batch_of):
    rows = batch_of([[1.0], [2.0], [3.0], [10.0], [20.0]])
    blocks = one_number()

    def loss(blocks, batch):
        return blocks["net.w"] * 0, {"mean": batch.values.mean()}

    move = Descend("fit", frozenset({"net.w"}), loss, sgd(), accumulate=2, data="full")
    _, metrics = run([move], blocks, 1, Minibatches(rows, 1000, 0))
    assert float(metrics[0]["fit.mean"]) == pytest.approx(36 / 5)


def test_others_keep_their_gradients_and_flags(run):
    mine, other = nn.Linear(2, 2), nn.Linear(2, 2)
    sentinel = torch.full_like(other.weight, 7.0)
    other.weight.grad = sentinel
    other.bias.requires_grad_(False)
    blocks = Blocks({"mine": mine, "other": other})
    before = other.weight.detach().clone()
    move = Descend(
        "fit", frozenset({"mine.*"}), lambda b, _: other(mine(torch.ones(1, 2))).sum(), sgd(0.1), data="none"
    )
    run([move], blocks, 3)
    assert other.weight.grad is sentinel and torch.equal(sentinel, torch.full_like(sentinel, 7.0))
    assert other.bias.grad is None and other.weight.requires_grad and not other.bias.requires_grad
    assert torch.equal(other.weight, before)
    assert mine.weight.grad is None and mine.bias.grad is None


def test_a_frozen_parameter_stays_though_its_module_is_written(run):
    net = nn.Linear(2, 1)
    net.bias.requires_grad_(False)
    before = net.bias.clone()
    move = Descend("fit", frozenset({"net.*"}), lambda b, _: net(torch.ones(1, 2)).sum(), sgd(), data="none")
    run([move], Blocks({"net": net}), 2)
    assert torch.equal(net.bias, before)


@pytest.mark.parametrize(
    "optimizer", [sgd(0.1), adam(0.1), lambda p: torch.optim.LBFGS(p)], ids=["sgd", "adam", "lbfgs"]
)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_step_that_is_not_finite_is_left_out(optimizer, bad, run):
    blocks = one_number(1.0)
    calls = []

    def loss(blocks, batch):
        calls.append(1)
        return (blocks["net.w"] - 3).square() * (bad if broken else 1.0)

    move = Descend("fit", frozenset({"net.w"}), loss, optimizer, data="none")
    broken = True
    state, metrics = run([move], blocks, 2)
    assert float(blocks["net.w"].detach()) == 1.0 and float(metrics[-1]["fit.skipped"]) == 1.0
    broken = False
    for _ in range(60):
        _, _, found = move.apply(blocks, state.memory["fit"], None)
    assert float(blocks["net.w"].detach()) == pytest.approx(3.0, abs=0.3) and float(found["skipped"]) == 0.0


def test_gradients_are_cleared_when_a_loss_raises():
    blocks = one_number()
    pieces = []

    def loss(blocks, batch):
        pieces.append(1)
        if len(pieces) == 2:
            raise RuntimeError("second piece")
        return blocks["net.w"]

    move = Descend("fit", frozenset({"net.w"}), loss, lambda p: torch.optim.LBFGS(p, max_iter=2), data="none")
    with pytest.raises(RuntimeError, match="second"):
        move.apply(blocks, move.init(blocks), None)
    assert blocks["net.w"].grad is None


def test_one_move_serves_two_fits_side_by_side():
    """The optimizer is bound to the memory that it is given, not to the last one it saw."""

    def fit(alternate):
        move = Descend("fit", frozenset({"net.w"}), lambda b, _: (b["net.w"] - 1).square(), adam(0.1), data="none")
        blocks = [one_number(0.0), one_number(5.0)]
        memory = [move.init(b) for b in blocks]
        order = [0, 1] * 5 if alternate else [0] * 5 + [1] * 5
        for i in order:
            move.apply(blocks[i], memory[i], None)
        return [float(b["net.w"].detach()) for b in blocks]

    assert fit(True) == fit(False)


def test_weight_decay_falls_on_matrices_only(run):
    net = nn.Linear(2, 2)
    weight, bias = net.weight.detach().clone(), net.bias.detach().clone()
    move = Descend(
        "fit", frozenset({"net.*"}), lambda b, _: 0.0 * net(torch.ones(1, 2)).sum(), adam(0.1, 0.5), data="none"
    )
    run([move], Blocks({"net": net}), 1)
    torch.testing.assert_close(net.weight.detach(), weight * (1 - 0.05))
    assert torch.equal(net.bias, bias)


def test_what_cannot_be_is_refused():
    blocks = one_number()
    clipped = Descend("fit", frozenset({"net.w"}), lambda b, _: b["net.w"], lambda p: torch.optim.LBFGS(p), clip=1.0)
    with pytest.raises(PluginError, match="LBFGS"):
        clipped.apply(blocks, clipped.init(blocks), None)
    with pytest.raises(PluginError, match="gone"):
        Descend("fit", frozenset({"gone.*"}), lambda b, _: b["net.w"], sgd()).init(blocks)
