"""Replay: short chains that begin in a buffer of where earlier ones ended."""

from __future__ import annotations

from dataclasses import is_dataclass, replace
from typing import Literal, cast

import torch
from torch import Tensor

from genprob.data.batch import Batch
from genprob.engine.assign import Assign
from genprob.engine.blocks import Blocks
from genprob.engine.capabilities import Energy, MarkovKernel, require
from genprob.engine.descend import descent
from genprob.engine.inferences.phases import COMPLETIONS, completing, sound
from genprob.engine.kernels.hmc import HMC
from genprob.engine.kernels.langevin import Langevin
from genprob.engine.losses.contrastive import contrastive
from genprob.engine.move import Metrics, Updates
from genprob.engine.phase import Phase
from genprob.engine.program import Program
from genprob.engine.transition import Kernel
from genprob.errors import Diverged, UsageError
from genprob.model import Model


def replay(
    model: Model,
    *,
    steps: int = 2000,
    k: int = 10,
    chains: int = 256,
    buffer: int = 4096,
    refresh: float = 0.05,
    kernel: Literal["hmc", "langevin"] = "hmc",
    size: float = 0.2,
    noise: float = 0.0,
    decay: float = 1e-3,
    lr: float = 2e-3,
    batch_size: int = 256,
    clip: float | None = 10.0,
    weight_decay: float = 0.0,
) -> Program:
    """Maximum likelihood of an energy by short chains from a buffer (Du and Mordatch 2019).

    With `hmc` chains are accepted or refused and the energy's law is what they tend to; with `langevin` they are
    not, and what is learned is bent so that short, biased chains look like the data (Nijkamp et al. 2019).

    Arguments:
        steps: gradient steps.
        k: transitions of the chains in a step.
        chains: chains that move in a step.
        buffer: chains that are kept.
        refresh: share of the moving chains that begin anew at rows of the data with unit noise.
        kernel: what moves them; an energy with a kernel of its own, such as one with labels, is moved by that one, and
            begins anew at rows as they are.
        size: size of a leapfrog or Langevin step, in the units of the points.
        noise: standard deviation of noise on the rows, a stabiliser.
        decay: weight of the mean squared energy of rows and chains in the loss, a stabiliser.
        lr: peak learning rate; warmed up over the first twentieth, then half a cosine to zero.
        batch_size: rows of a step.
        clip: largest gradient norm, None for no limit.
        weight_decay: decay of matrices.
    """
    require(model, Energy, "replay", "an energy")
    if min(k, chains, buffer) < 1 or buffer < chains or not 0 <= refresh <= 1:
        raise UsageError(f"k={k}, chains={chains}, buffer={buffer}, refresh={refresh}: a buffer holds all that move")
    energy, own = cast(Energy, model), model if isinstance(model, MarkovKernel) else None
    if own is not None and (kernel != "hmc" or noise):
        raise UsageError(
            f"kernel={kernel!r}, noise={noise}: {type(model).__name__} has labels, which neither Langevin steps nor "
            "noise can move; leave kernel=hmc and noise=0"
        )

    def log_density(points: Tensor) -> Tensor:
        return -energy.energy(points)

    def begun(batch: Batch, count: int, *, check: bool) -> Tensor:
        rows = energy.points(batch.take(torch.randint(len(batch), (count,), device=batch.values.device))).detach()
        rows = sound(energy, rows) if check else rows
        return rows + torch.randn_like(rows) if own is None else rows

    def move(blocks: Blocks, batch: Batch | None) -> tuple[Updates, Metrics]:
        assert batch is not None
        kept = blocks.tensors["buffer"] if "buffer" in blocks.tensors else begun(batch, buffer, check=True)
        index = torch.randperm(len(kept))[:chains].to(kept.device)
        position = kept[index]
        anew = torch.rand(chains, device=kept.device) < refresh
        position = torch.where(anew.reshape(-1, *[1] * (kept.ndim - 1)), begun(batch, chains, check=False), position)
        first = position
        mover: Kernel = Langevin(log_density, size)
        if kernel == "hmc":
            mover = HMC(log_density, 3, mass="unit", size=size) if own is None else own.markov_kernel()
            if is_dataclass(mover) and hasattr(mover, "size"):
                mover = replace(mover, size=size)  # type: ignore[type-var]
        memory, told = mover.init(position), {}
        for _ in range(k):
            position, memory, told = mover.step(position, memory)
        if not bool(torch.isfinite(position).all()):
            raise Diverged(
                f"replay: chains left the numbers; the last good checkpoint is kept. Lower size={size} or lr={lr}, "
                "or raise decay"
            )
        moved = (position - first).square().flatten(1).sum(1).sqrt().mean()
        metrics = {"distance": moved, "largest": position.abs().max()}
        if "acceptance" in told:
            metrics["acceptance"] = told["acceptance"].mean()
        return {"buffer": kept.index_copy(0, index, position), "chains": position}, metrics

    filling = completing(energy)
    moves = (
        Assign("replay", frozenset({"buffer", "chains"}), move, data="same"),
        *filling,
        descent(
            "energy",
            contrastive(energy, "chains", COMPLETIONS if filling else None, noise=noise, decay=decay),
            steps=steps,
            lr=lr,
            weight_decay=weight_decay,
            clip=clip,
            data="same",
        ),
    )
    return Program(
        (Phase(moves, steps, name="replay"),), Blocks({"model": model}), "energy.loss", batch_size=batch_size
    )
