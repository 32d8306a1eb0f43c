"""Sampling a density with any kernel, without a model or an engine."""

from __future__ import annotations

from dataclasses import is_dataclass, replace

import torch
from torch import Tensor

from genprob.engine.transition import Adaptive, Kernel
from genprob.errors import Diverged, UsageError


@torch.no_grad()
def sample(
    kernel: Kernel, start: Tensor, *, draws: int, warmup: int | None = None, thin: int = 1
) -> tuple[Tensor, dict[str, Tensor]]:
    """Runs chains from `start`: first the warm-up, then, with everything frozen, the draws.

    Random numbers are torch's own: `torch.manual_seed` before the call makes it repeatable.

    Arguments:
        kernel: any of this package, or one's own.
        start: `[chains, *event]`, or `[queries, chains, *event]` for a kernel of a density over several targets.
        draws: how many positions of each chain are kept.
        warmup: steps that are not kept; where it is given and the kernel can adapt, it adapts for so many. None is
            the kernel's own, or none.
        thin: steps from one draw to the next.

    Returns the draws `[draw, chain, *event]`, or `[draw, chain, query, *event]`, and the metrics of each by name:
    `[draw, chain]`, `[draw, chain, query]`, or what chains share as `[draw]` and `[draw, query]`.

    Raises `UsageError` for a start outside the support, `Diverged` for chains that left the numbers.

    >>> from genprob.engine.kernels import HMC, sample
    >>> _ = torch.manual_seed(0)
    >>> draws, stats = sample(HMC(lambda x: -0.5 * x.square().sum(-1)), torch.zeros(8, 2), warmup=100, draws=50)
    >>> draws.shape, stats["acceptance"].shape, stats["step_size"].shape
    (torch.Size([50, 8, 2]), torch.Size([50, 8]), torch.Size([50]))
    """
    if warmup is not None and is_dataclass(kernel) and hasattr(kernel, "warmup"):
        kernel = replace(kernel, warmup=warmup)  # type: ignore[assignment]
    steps = getattr(kernel, "warmup", 0) if warmup is None else warmup
    if draws < 1 or thin < 1 or steps < 0:
        raise UsageError(f"draws={draws}, thin={thin}, warmup={steps}: at least 1, 1 and 0")
    _begin(kernel, start)
    position, memory = start, kernel.init(start)
    for _ in range(steps):
        position, memory, metrics = kernel.step(position, memory)
        if isinstance(kernel, Adaptive):
            memory = kernel.adapt(position, memory, metrics)
    kept: list[Tensor] = []
    told: list[dict[str, Tensor]] = []
    for count in range(draws * thin):
        position, memory, metrics = kernel.step(position, memory)
        if (count + 1) % thin == 0:
            kept.append(position)
            told.append(metrics)
    positions = torch.stack(kept)
    _finite(positions)
    lead = max((value.ndim for value in told[0].values()), default=1)
    stats = {name: torch.stack([metrics[name] for metrics in told]) for name in told[0]}
    chain_second = {name: value.movedim(lead, 1) if value.ndim == lead + 1 else value for name, value in stats.items()}
    return positions.movedim(max(lead, 1), 1), chain_second


def _begin(kernel: Kernel, start: Tensor) -> None:
    log_density = getattr(kernel, "log_density", None)
    if log_density is None:
        return
    wrong = ~torch.isfinite(log_density(start))
    if bool(wrong.any()):
        where = tuple(wrong.nonzero()[0].tolist())
        raise UsageError(
            f"chain {where[-1]}{f' of query {where[0]}' if len(where) > 1 else ''} starts where the log-density is "
            "not finite: start all chains inside the support"
        )


def _finite(positions: Tensor) -> None:
    wrong = ~torch.isfinite(positions)
    if bool(wrong.any()):
        draw, *where = wrong.nonzero()[0].tolist()
        raise Diverged(f"a chain left the numbers at draw {draw}, place {where}: take smaller steps")
