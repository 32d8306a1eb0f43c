"""Hamiltonian Monte Carlo of a posterior: a phase that adapts, a phase that samples."""

from __future__ import annotations

from typing import cast

from torch import Tensor

from genprob.data.batch import Batch
from genprob.engine.blocks import Blocks
from genprob.engine.capabilities import Posterior, require
from genprob.engine.kernels.hmc import HMC
from genprob.engine.phase import Phase
from genprob.engine.program import Program
from genprob.engine.record import Record
from genprob.engine.transition import Kernel, Transition
from genprob.errors import UsageError
from genprob.model import Model


def hmc(
    model: Model,
    *,
    steps: int = 1500,
    warmup: int = 500,
    chains: int = 16,
    leapfrogs: int = 16,
    target: float = 0.8,
    thin: int = 1,
    shard: int = 256,
) -> Program:
    """Hamiltonian Monte Carlo (Duane et al. 1987) of the unknowns of a model, all chains at once, on all rows.

    The draws are the blocks `draws.00000`, `draws.00001`, ... of the state, each `[shard, chains, *event]`.

    Arguments:
        steps: transitions in all, those of the warm-up among them.
        warmup: transitions during which step size and mass adapt; then they are frozen and draws are kept.
        chains: number of chains.
        leapfrogs: longest trajectory in leapfrog steps.
        target: mean probability of acceptance to adapt to.
        thin: transitions from one draw that is kept to the next.
        shard: draws to a block.
    """
    require(model, Posterior, "hmc", "a posterior of its unknowns")
    posterior = cast(Posterior, model)
    if min(chains, leapfrogs, thin, shard) < 1 or not 0 < target < 1 or warmup < 0:
        raise UsageError(
            f"chains={chains}, leapfrogs={leapfrogs}, thin={thin}, shard={shard}, target={target}, warmup={warmup}: "
            "numbers must be at least 1, the warm-up at least 0, the target between 0 and 1"
        )

    def kernel(blocks: Blocks, batch: Batch | None) -> Kernel:
        assert batch is not None
        return HMC(lambda at: posterior.log_posterior(at, batch), leapfrogs, warmup, target)

    def start(blocks: Blocks, batch: Batch | None) -> Tensor:
        return posterior.positions(chains)

    def moving(adapt: bool) -> Transition:
        return Transition("hmc", "position", kernel, data="full", start=start, adapt=adapt)

    phases = (
        Phase((moving(True),), min(warmup, steps), name="adapt"),
        Phase((moving(False), Record("draws", "position", shard, every=thin)), max(0, steps - warmup), name="sample"),
    )
    return Program(phases, Blocks({"model": model}), "hmc.acceptance")
