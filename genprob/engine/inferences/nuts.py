"""The no-U-turn sampler of a posterior."""

from __future__ import annotations

from genprob.engine.inferences.chains import chains_of
from genprob.engine.kernels.nuts import NUTS
from genprob.engine.program import Program
from genprob.errors import UsageError
from genprob.model import Model


def nuts(
    model: Model,
    *,
    steps: int = 1000,
    warmup: int = 500,
    chains: int = 16,
    depth: int = 10,
    target: float = 0.8,
    thin: int = 1,
    shard: int = 256,
) -> Program:
    """The no-U-turn sampler (Hoffman and Gelman 2014) of the unknowns of a model, all chains at once, on all rows.

    The draws are the blocks `draws.00000`, `draws.00001`, ... of the state, each `[shard, chains, *event]`; beside
    them are `sample_stats.acceptance.00000`, ... and those of `energy`, `diverging`, `depth`,
    `leapfrogs` and `step_size`.

    Arguments:
        steps: transitions in all, those of the warm-up among them.
        warmup: transitions during which step size and mass adapt; then they are frozen and draws are kept.
        chains: number of chains.
        depth: most doublings of a trajectory.
        target: mean probability of acceptance to adapt to.
        thin: transitions from one draw that is kept to the next.
        shard: draws to a block.
    """
    if depth < 1:
        raise UsageError(f"depth={depth}: at least 1")
    return chains_of(
        model,
        "nuts",
        lambda density, slope: NUTS(density, warmup, target, depth, slope),
        stats=("acceptance", "energy", "diverging", "depth", "leapfrogs", "step_size"),
        steps=steps,
        warmup=warmup,
        chains=chains,
        thin=thin,
        shard=shard,
        target=target,
    )
