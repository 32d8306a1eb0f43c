"""Assign: closed forms, as EM has them."""

import numpy as np
import torch

from genprob.data.batch import Minibatches
from genprob.engine.assign import Assign
from genprob.engine.blocks import Blocks


def test_two_assigned_moves_are_em(run, batch_of):
    """Means and weights of two unit Gaussians, against the recursion written in numpy."""
    data = np.random.default_rng(0).normal(size=50) + np.repeat([0.0, 4.0], 25)

    def expect(blocks, batch):
        x, mean, weight = batch.values[:, 0], blocks["mean"], blocks["weight"]
        log = weight.log() - 0.5 * (x[:, None] - mean).square()
        share = torch.softmax(log, 1)
        return {"statistics.n": share.sum(0), "statistics.x": share.T @ x}, {"objective": log.logsumexp(1).mean()}

    def maximise(blocks, batch):
        n = blocks["statistics.n"]
        return {"mean": blocks["statistics.x"] / n, "weight": n / n.sum()}, {}

    start = np.array([0.5, 1.0])
    blocks = Blocks({}, {"mean": torch.tensor(start), "weight": torch.full((2,), 0.5, dtype=torch.float64)})
    moves = [
        Assign("expectation", frozenset({"statistics.*"}), expect),
        Assign("maximisation", frozenset({"mean", "weight"}), maximise),
    ]
    _, metrics = run(moves, blocks, 15, Minibatches(batch_of(data[:, None]), 7, 0))

    mean, weight = start, np.array([0.5, 0.5])
    for _ in range(15):
        density = weight * np.exp(-0.5 * (data[:, None] - mean) ** 2)
        share = density / density.sum(1, keepdims=True)
        mean, weight = share.T @ data / share.sum(0), share.mean(0)
    np.testing.assert_allclose(blocks["mean"].numpy(), mean, atol=1e-12)
    np.testing.assert_allclose(blocks["weight"].numpy(), weight, atol=1e-12)
    objective = [float(m["expectation.objective"]) for m in metrics]
    assert np.all(np.diff(objective) > -1e-12) and abs(mean[1] - 4) < 0.5


def test_rows_of_a_block_are_gathered_and_scattered_by_index(run, batch_of):
    """One number per row of the data, moved only when its row is in the batch."""

    def visit(blocks, batch):
        visits = blocks["visits"].clone()
        visits[batch.index] += batch.values[:, 0]
        return {"visits": visits}, {}

    values = torch.arange(1.0, 11.0)[:, None]
    blocks = Blocks({}, {"visits": torch.zeros(10, dtype=torch.float64)})
    move = Assign("visit", frozenset({"visits"}), visit, data="fresh")
    run([move], blocks, 3, Minibatches(batch_of(values), 4, 0))
    assert torch.equal(blocks["visits"], values[:, 0].double()), "three batches are one epoch"


def test_no_graph_is_kept(run):
    blocks = Blocks({}, {"w": torch.ones(1, requires_grad=True), "v": torch.zeros(1)})
    run([Assign("double", frozenset({"v"}), lambda b, _: ({"v": b["w"] * 2}, {}), data="none")], blocks, 1)
    assert not blocks["v"].requires_grad and float(blocks["v"]) == 2.0
