"""Walkback: a chain's operator learns to return from where the chain itself leads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from genprob.data.batch import Batch
from genprob.engine.assign import Assign
from genprob.engine.blocks import Blocks
from genprob.engine.capabilities import Reconstructs, require
from genprob.engine.descend import Descend, descent
from genprob.engine.losses.reconstruction import reconstruction
from genprob.engine.move import Metrics, Updates
from genprob.engine.phase import Phase
from genprob.engine.program import Program
from genprob.engine.state import Memory
from genprob.engine.transition import Kernel, Transition
from genprob.errors import UsageError
from genprob.model import Model


def walkback(
    model: Model,
    *,
    steps: int = 2000,
    walk: int = 1,
    go_on: float = 0.5,
    denoise: float = 0.5,
    lr: float = 2e-3,
    batch_size: int = 256,
    clip: float | None = 100.0,
    weight_decay: float = 0.0,
) -> Program:
    """Denoising along walks of the learned chain (Bengio, Yao, Alain and Vincent 2013, algorithm 1).

    From every row of a batch the chain walks some transitions; the operator then learns to reconstruct the row from
    the end of the walk, and so learns about places that one corruption does not reach. Walks must be short beside the
    time in which the chain mixes: an operator that draws cells one by one learns from longer ones that they are
    independent.

    Arguments:
        steps: gradient steps.
        walk: most transitions of a walk; 0 is a denoising autoencoder.
        go_on: probability with which a walk makes each of them.
        denoise: share of the steps before walks begin, in which rows are reconstructed from one corruption: the
            walks of a chain that knows nothing lead anywhere, and what is learned from there is that all are alike.
        lr: peak learning rate; warmed up over the first twentieth, then half a cosine to zero.
        batch_size: rows of a step.
        clip: largest gradient norm, None for no limit.
        weight_decay: decay of matrices.
    """
    require(model, Reconstructs, "walkback", "a chain that corrupts rows and reconstructs them")
    if walk < 0 or not 0 < go_on <= 1:
        raise UsageError(f"walk={walk}, go_on={go_on}: no fewer than 0 transitions, with a probability in (0, 1]")
    if not 0 <= denoise <= 1:
        raise UsageError(f"denoise={denoise}: a share lies in [0, 1]")
    chain = cast(Reconstructs, model)

    def restart(blocks: Blocks, batch: Batch | None) -> tuple[Updates, Metrics]:
        assert batch is not None
        return {"walks": chain.begun(batch)}, {}

    def kernel(blocks: Blocks, batch: Batch | None) -> Kernel:
        return _Strides(chain, go_on)

    def operator(walks: str | None) -> Descend:
        return descent(
            "operator",
            reconstruction(chain, walks),
            steps=steps,
            lr=lr,
            weight_decay=weight_decay,
            clip=clip,
            data="same",
        )

    early = int(denoise * steps) if walk else steps
    walking = (
        Assign("restart", frozenset({"walks"}), restart, data="same"),
        Transition("walks", "walks", kernel, repeat=max(1, walk)),
        operator("walks"),
    )
    phases = (Phase((operator(None),), early, name="denoise"), Phase(walking, steps - early, name="walkback"))
    kept = tuple(phase for phase in phases if phase.steps)
    return Program(kept or phases[:1], Blocks({"model": model}), "operator.loss", batch_size=batch_size)


@dataclass(frozen=True)
class _Strides:
    """The model's transition, which each walk makes with some probability."""

    chain: Reconstructs
    go_on: float

    def init(self, position: Tensor) -> Memory:
        return {}

    def step(self, position: Tensor, memory: Memory) -> tuple[Tensor, Memory, Metrics]:
        goes = torch.rand(len(position), 1, device=position.device) < self.go_on
        return torch.where(goes, self.chain.walked(position), position), memory, {}
