"""Persistent contrastive divergence: chains that go on from step to step."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from genprob.data.batch import Batch
from genprob.engine.blocks import Blocks
from genprob.engine.capabilities import Energy, Tempers, require
from genprob.engine.descend import descent
from genprob.engine.inferences.phases import COMPLETIONS, centring, completing, lifting, sound
from genprob.engine.kernels.energy import kernel_of
from genprob.engine.losses.contrastive import contrastive
from genprob.engine.phase import Phase
from genprob.engine.program import Program
from genprob.engine.transition import Kernel, Transition
from genprob.model import Model


def pcd(
    model: Model,
    *,
    steps: int = 2000,
    k: int = 1,
    chains: int = 128,
    lr: float = 1e-2,
    batch_size: int = 128,
    clip: float | None = 100.0,
    weight_decay: float = 0.0,
    momentum: float | None = None,
    decay: bool | float = True,
    centred: bool = True,
    leapfrogs: int = 5,
    temperatures: int = 1,
) -> Program:
    """Stochastic maximum likelihood of an energy (Younes 1989; Tieleman 2008): the chains are part of the state.

    Arguments:
        steps: gradient steps.
        k: transitions of the chains in a step.
        chains: number of chains; they begin at rows of the data.
        lr: peak learning rate; warmed up over the first twentieth, then half a cosine to zero.
        batch_size: rows of a step.
        clip: largest gradient norm, None for no limit.
        weight_decay: decay of matrices.
        momentum: plain gradient descent with so much momentum; None takes Adam.
        decay: whether the learning rate falls to zero, or stays after its warm-up; or the share of the steps, the last
            ones, over which it falls.
        centred: whether couplings act on deviations from the units' mean activity, for energies that can.
        leapfrogs: longest trajectory of HMC, for an energy without a kernel of its own.
        temperatures: with more than one, chains trade places with copies at so many temperatures in all (Desjardins
            et al. 2010), for energies that can.
    """
    require(model, Energy, "pcd", "an energy")
    energy = cast(Energy, model)
    if temperatures > 1:
        require(model, Tempers, "pcd", "a kernel at several temperatures")

    lifted = lifting(energy) if temperatures == 1 else None

    def kernel(blocks: Blocks, batch: Batch | None) -> Kernel:
        if temperatures > 1:
            return cast(Tempers, model).tempered_kernel(temperatures)
        if lifted is not None:
            return lifted.lifted_kernel()
        return kernel_of(energy, leapfrogs=leapfrogs, warmup=steps * k)

    def start(blocks: Blocks, batch: Batch | None) -> Tensor:
        assert batch is not None
        rows = torch.randint(len(batch), (chains,), device=batch.values.device)
        points = sound(energy, energy.points(batch.take(rows)).detach().clone())
        return points if lifted is None else lifted.lift(points)

    filling = completing(energy)
    moves = (
        *filling,
        *centring(energy, centred),
        Transition("chains", "chains", kernel, data="full", repeat=k, start=start, adapt=True),
        descent(
            "energy",
            contrastive(energy, "chains", COMPLETIONS if filling else None, lifted=lifted),
            steps=steps,
            lr=lr,
            weight_decay=weight_decay,
            momentum=momentum,
            decay=decay,
            clip=clip,
            data="same",
        ),
    )
    return Program((Phase(moves, steps, name="pcd"),), Blocks({"model": model}), "energy.loss", batch_size=batch_size)
