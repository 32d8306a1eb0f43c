"""Chains of a posterior: a phase that adapts, a phase that samples with everything frozen."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor

from genprob.data.batch import Batch
from genprob.engine.blocks import Blocks
from genprob.engine.capabilities import NamesUnknowns, Posterior, require
from genprob.engine.kernels.density import LogDensity
from genprob.engine.phase import Phase
from genprob.engine.program import PosteriorDraws, Program
from genprob.engine.record import Record
from genprob.engine.state import State
from genprob.engine.transition import Kernel, Transition
from genprob.errors import UsageError
from genprob.model import Model

_ARVIZ = {"acceptance": "acceptance_rate"}
"""Metrics that ArviZ calls by another name."""


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
    `stats` is kept beside them as `sample_stats.<metric>.00000`, ..., `[shard, chains]`. A fit hands them over as
    `joint.posterior`.

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
    draws = Record("draws", "position", shard, every=thin)

    def drawn(state: State, batch: Batch) -> PosteriorDraws | None:
        """All that was recorded so far, with the log-posterior of each draw."""
        if not state.memory.get(draws.name, {}).get("count"):
            return None
        positions = draws.draws(state)
        flat = positions.flatten(0, 1)
        named = model.unknowns(flat) if isinstance(model, NamesUnknowns) else {"position": flat}
        unknowns = {key: value.unflatten(0, positions.shape[:2]).transpose(0, 1) for key, value in named.items()}
        told = {_ARVIZ.get(stat, stat): record.draws(state).T for stat, record in zip(stats, records, strict=True)}
        told["lp"] = torch.stack([posterior.log_posterior(at, batch) for at in positions]).T
        return PosteriorDraws(unknowns, told)

    phases = (
        Phase((moving(True),), min(warmup, steps), name="adapt"),
        Phase(
            (moving(False), draws, *records),
            max(0, steps - warmup),
            name="sample",
        ),
    )
    return Program(phases, Blocks({"model": model}), f"{name}.acceptance", posterior=drawn)
