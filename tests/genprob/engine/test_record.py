"""Record: draws of a block in shards, thinned, for as long as it takes."""

import torch

from genprob.engine.assign import Assign
from genprob.engine.record import Record


def test_draws_come_back_in_order_whatever_the_shards(run, blocks_of):
    count = Assign("count", frozenset({"w"}), lambda b, _: ({"w": b["w"] + 1}, {}), data="none")
    for shard, every in ((4, 1), (3, 2), (100, 1), (5, 1)):
        record = Record("draws", "w", shard, every)
        state, _ = run([count, record], blocks_of(w=torch.zeros(2, dtype=torch.int64)), 10)
        wanted = torch.arange(1, 11, every)
        assert torch.equal(record.draws(state), wanted[:, None].expand(-1, 2))
        kept = [tensor for name, tensor in state.blocks.tensors.items() if name.startswith("draws.")]
        assert {len(tensor) for tensor in kept} == {shard} and len(kept) == -(-len(wanted) // shard)


def test_a_draw_does_not_follow_its_block(run, blocks_of):
    move = Assign("add", frozenset({"w"}), lambda b, _: ({"w": b["w"].add_(1)}, {}), data="none")
    record = Record("draws", "w")
    state, _ = run([move, record], blocks_of(w=torch.zeros(1)), 3)
    assert record.draws(state)[:, 0].tolist() == [1.0, 2.0, 3.0]
