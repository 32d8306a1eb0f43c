"""Hamiltonian Monte Carlo of a posterior."""

from __future__ import annotations

from genprob.engine.inferences.chains import chains_of
from genprob.engine.kernels.hmc import HMC
from genprob.engine.program import Program
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

    The draws are the blocks `draws.00000`, `draws.00001`, ... of the state, each `[shard, chains, *event]`; beside
    them are `sample_stats.acceptance.00000`, ... and those of `energy`, `diverging`, `leapfrogs` and `step_size`.

    Arguments:
        steps: transitions in all, those of the warm-up among them.
        warmup: transitions during which step size and mass adapt; then they are frozen and draws are kept.
        chains: number of chains.
        leapfrogs: longest trajectory in leapfrog steps.
        target: mean probability of acceptance to adapt to.
        thin: transitions from one draw that is kept to the next.
        shard: draws to a block.
    """
    if leapfrogs < 1:
        raise UsageError(f"leapfrogs={leapfrogs}: at least 1")
    return chains_of(
        model,
        "hmc",
        lambda density, slope: HMC(density, leapfrogs, warmup, target, slope),
        stats=("acceptance", "energy", "diverging", "leapfrogs", "step_size"),
        steps=steps,
        warmup=warmup,
        chains=chains,
        thin=thin,
        shard=shard,
        target=target,
    )
