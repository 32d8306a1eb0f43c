"""Chains of a posterior: a phase that adapts, a phase that samples with everything frozen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor

from genprob.data.batch import Batch
from genprob.engine.blocks import Blocks
from genprob.engine.capabilities import NamesUnknowns, Posterior, require
from genprob.engine.kernels.density import LogDensity, ValueAndGradient
from genprob.engine.phase import Phase
from genprob.engine.program import PosteriorDraws, Program
from genprob.engine.record import Record
from genprob.engine.state import State
from genprob.engine.transition import Kernel, Transition
from genprob.engine.unknowns import Unknowns
from genprob.errors import UsageError
from genprob.model import Model

_ARVIZ = {"acceptance": "acceptance_rate", "depth": "tree_depth", "leapfrogs": "n_steps"}
"""Metrics that ArviZ calls by another name."""

KernelOf = Callable[[LogDensity, ValueAndGradient | None], Kernel]


def chains_of(
    model: Model,
    name: str,
    kernel: KernelOf,
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

    The posterior is the model's own (`genprob.engine.capabilities.Posterior`), or else that of what its Pyro program
    leaves unknown (`genprob.engine.unknowns.Unknowns`). The draws are the blocks `draws.00000`, ... of the state, each
    `[shard, chains, *event]`, and each metric of `stats` is kept beside them as `sample_stats.<metric>.00000`, ...,
    `[shard, chains]` (`[shard]` where the chains share it). A fit hands them over as `joint.posterior`.

    Raises `UsageError` for a model without a posterior and for numbers that cannot be.
    """
    if isinstance(model, Posterior) or type(model).model is Model.model:
        require(model, Posterior, name, "a posterior of its unknowns")
    if min(chains, thin, shard) < 1 or not 0 < target < 1 or warmup < 0:
        raise UsageError(
            f"chains={chains}, thin={thin}, shard={shard}, target={target}, warmup={warmup}: numbers must be at "
            "least 1, the warm-up at least 0, the target between 0 and 1"
        )
    sought = _Sought(model)

    def of_batch(blocks: Blocks, batch: Batch | None) -> Kernel:
        found = sought.given(batch)
        if isinstance(found, Unknowns):
            return kernel(found.log_density, found.value_and_gradient)
        assert batch is not None
        return kernel(lambda at: found.log_posterior(at, batch), None)

    def start(blocks: Blocks, batch: Batch | None) -> Tensor:
        return sought.given(batch).positions(chains)

    def moving(adapt: bool) -> Transition:
        block = None if adapt else "stats"
        return Transition(name, "position", of_batch, data="full", start=start, adapt=adapt, stats=block)

    kept = {stat: Record(f"sample_stats.{stat}", f"stats.{stat}", shard, every=thin) for stat in stats}
    draws = Record("draws", "position", shard, every=thin)

    def drawn(state: State, batch: Batch) -> PosteriorDraws | None:
        """All that was recorded so far, with the log-posterior of each draw."""
        if not state.memory.get(draws.name, {}).get("count"):
            return None
        positions = draws.draws(state)
        told = {_ARVIZ.get(stat, stat): _per_chain(record.draws(state), chains) for stat, record in kept.items()}
        found, flat = sought.given(batch), positions.flatten(0, 1)

        def apart(values: Tensor) -> Tensor:
            """Of all draws of all chains, `[chain, draw, ...]`."""
            return values.unflatten(0, positions.shape[:2]).transpose(0, 1)

        if isinstance(found, Unknowns):
            named = {name: apart(value) for name, value in found.named(flat).items()}
            return PosteriorDraws(named, told | {"lp": apart(found.log_densities(flat))}, found.roles, found.dims)
        named = model.unknowns(flat) if isinstance(model, NamesUnknowns) else {"position": flat}
        told["lp"] = torch.stack([found.log_posterior(at, batch) for at in positions]).T
        return PosteriorDraws({name: apart(value) for name, value in named.items()}, told)

    phases = (
        Phase((moving(True),), min(warmup, steps), name="adapt"),
        Phase(
            (moving(False), draws, *kept.values()),
            max(0, steps - warmup),
            name="sample",
        ),
    )
    return Program(phases, Blocks({"model": model}), f"{name}.acceptance", posterior=drawn, check=sought.given)


@dataclass
class _Sought:
    """The posterior of a model given some rows, looked for once for the same rows."""

    model: Model
    _found: tuple[Batch, Unknowns] | None = field(default=None, repr=False)

    def given(self, batch: Batch | None) -> Posterior | Unknowns:
        """Raises as `Unknowns` does."""
        if isinstance(self.model, Posterior):
            return cast(Posterior, self.model)
        assert batch is not None
        if self._found is None or self._found[0] is not batch:
            self._found = batch, Unknowns(self.model, batch)
        return self._found[1]


def _per_chain(recorded: Tensor, chains: int) -> Tensor:
    """What was recorded as `[chain, draw]`, also where the chains share a number."""
    return (recorded if recorded.ndim == 2 else recorded[:, None].expand(-1, chains)).T
