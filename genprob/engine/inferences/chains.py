"""Chains of a posterior: a phase that adapts, a phase that samples with everything frozen."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from torch import Tensor

from genprob.data.batch import Batch
from genprob.engine.blocks import Blocks
from genprob.engine.capabilities import Posterior, require
from genprob.engine.kernels.density import LogDensity
from genprob.engine.phase import Phase
from genprob.engine.program import Program
from genprob.engine.record import Record
from genprob.engine.transition import Kernel, Transition
from genprob.errors import UsageError
from genprob.model import Model


def chains_of(
    model: Model,
    name: str,
    kernel: Callable[[LogDensity], Kernel],
    *,
    stats: tuple[str, ...],
    steps: int,
    warmup: int,
    chains: int,
    thin: int,
    shard: int,
    target: float,
) -> Program:
    """The inference `name` of a posterior by the kernel of its log-density, all chains at once, on all rows.

    The draws are the blocks `draws.00000`, ... of the state, each `[shard, chains, *event]`, and each metric of
    `stats` is kept beside them as `sample_stats.<metric>.00000`, ..., `[shard, chains]`.

    Raises `UsageError` for a model without a posterior and for numbers that cannot be.
    """
    require(model, Posterior, name, "a posterior of its unknowns")
    posterior = cast(Posterior, model)
    if min(chains, thin, shard) < 1 or not 0 < target < 1 or warmup < 0:
        raise UsageError(
            f"chains={chains}, thin={thin}, shard={shard}, target={target}, warmup={warmup}: numbers must be at "
            "least 1, the warm-up at least 0, the target between 0 and 1"
        )

    def of_batch(blocks: Blocks, batch: Batch | None) -> Kernel:
        assert batch is not None
        return kernel(lambda at: posterior.log_posterior(at, batch))

    def start(blocks: Blocks, batch: Batch | None) -> Tensor:
        return posterior.positions(chains)

    def moving(adapt: bool) -> Transition:
        kept = None if adapt else "stats"
        return Transition(name, "position", of_batch, data="full", start=start, adapt=adapt, stats=kept)

    records = [Record(f"sample_stats.{stat}", f"stats.{stat}", shard, every=thin) for stat in stats]
    phases = (
        Phase((moving(True),), min(warmup, steps), name="adapt"),
        Phase(
            (moving(False), Record("draws", "position", shard, every=thin), *records),
            max(0, steps - warmup),
            name="sample",
        ),
    )
    return Program(phases, Blocks({"model": model}), f"{name}.acceptance")
