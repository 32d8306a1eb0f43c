"""Contrastive divergence: short chains from the data."""

from __future__ import annotations

from typing import cast

from genprob.data.batch import Batch
from genprob.engine.assign import Assign
from genprob.engine.blocks import Blocks
from genprob.engine.capabilities import Energy, require
from genprob.engine.descend import descent
from genprob.engine.inferences.phases import COMPLETIONS, centring, completing, sound
from genprob.engine.kernels.energy import kernel_of
from genprob.engine.losses.contrastive import contrastive
from genprob.engine.move import Metrics, Updates
from genprob.engine.phase import Phase
from genprob.engine.program import Program
from genprob.engine.transition import Kernel, Transition
from genprob.model import Model


def cd(
    model: Model,
    *,
    steps: int = 2000,
    k: int = 1,
    lr: float = 1e-2,
    batch_size: int = 128,
    clip: float | None = 100.0,
    weight_decay: float = 0.0,
    momentum: float | None = None,
    decay: bool | float = True,
    centred: bool = True,
    leapfrogs: int = 5,
) -> Program:
    """Contrastive divergence of an energy (Hinton 2002): chains begin anew at the rows of each batch.

    Its optimum is biased for small k; see pcd.

    Arguments:
        steps: gradient steps.
        k: transitions of the chains in a step.
        lr: peak learning rate; warmed up over the first twentieth, then half a cosine to zero.
        batch_size: rows of a step, and so chains.
        clip: largest gradient norm, None for no limit.
        weight_decay: decay of matrices.
        momentum: plain gradient descent with so much momentum; None takes Adam.
        decay: whether the learning rate falls to zero, or stays after its warm-up; or the share of the steps, the last
            ones, over which it falls.
        centred: whether couplings act on deviations from the units' mean activity, for energies that can.
        leapfrogs: longest trajectory of HMC, for an energy without a kernel of its own.
    """
    require(model, Energy, "cd", "an energy")
    energy = cast(Energy, model)

    def kernel(blocks: Blocks, batch: Batch | None) -> Kernel:
        return kernel_of(energy, leapfrogs=leapfrogs, warmup=steps * k)

    def restart(blocks: Blocks, batch: Batch | None) -> tuple[Updates, Metrics]:
        assert batch is not None
        points = blocks[COMPLETIONS][batch.index] if filling else energy.points(batch).detach()
        return {"chains": sound(energy, points.clone()) if "chains" not in blocks.tensors else points.clone()}, {}

    filling = completing(energy)
    moves = (
        *filling,
        *centring(energy, centred),
        Assign("restart", frozenset({"chains"}), restart, data="same"),
        Transition("chains", "chains", kernel, repeat=k, adapt=True),
        descent(
            "energy",
            contrastive(energy, "chains", COMPLETIONS if filling else None),
            steps=steps,
            lr=lr,
            weight_decay=weight_decay,
            momentum=momentum,
            decay=decay,
            clip=clip,
            data="same",
        ),
    )
    return Program((Phase(moves, steps, name="cd"),), Blocks({"model": model}), "energy.loss", batch_size=batch_size)
