"""Descend: a gradient step on a loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from genprob.data.batch import Batch
from genprob.engine.blocks import Blocks
from genprob.engine.move import Feed, Metrics, Updates
from genprob.engine.state import Memory

Loss = Callable[[Blocks, "Batch | None"], "Tensor | tuple[Tensor, Metrics]"]


@dataclass
class Descend:
    """Lowers `loss(blocks, batch)` in the parameters that `writes` matches.

    Gradients are taken for those parameters only; nothing else has its `requires_grad` or `.grad` touched. A step
    whose loss or gradient is not finite is left out and counted in the metric `skipped`.

    Arguments:
        name: key of its memory and prefix of its metrics.
        writes: patterns over block names.
        loss: returns a scalar, or a scalar and metrics.
        optimizer: `params -> torch.optim.Optimizer`; LBFGS is called through a closure.
        schedule: factor on the learning rate as a function of the share of the horizon done, in [0, 1].
        clip: largest gradient norm, or None.
        ema: decay of an exponential moving average of the parameters kept in memory under `"ema"`, or None.
        accumulate: micro-batches per update (the batch is split, gradients are averaged by their rows).
        horizon: steps over which the schedule runs.
    """

    name: str
    writes: frozenset[str]
    loss: Loss
    optimizer: Callable[[list[nn.Parameter]], torch.optim.Optimizer]
    schedule: Callable[[float], float] | None = None
    clip: float | None = None
    ema: float | None = None
    accumulate: int = 1
    horizon: int = 1
    data: Feed = "fresh"
    repeat: int = 1
    every: int = 1
    _bound: tuple[int, torch.optim.Optimizer, dict[str, nn.Parameter]] | None = field(default=None, repr=False)

    def init(self, blocks: Blocks) -> Memory:
        parameters = blocks.parameters(self.writes)
        memory: Memory = {"state": {}, "count": 0}
        if self.ema is not None:
            memory["ema"] = {k: p.detach().clone() for k, p in parameters.items()}
        return memory

    def _bind(self, blocks: Blocks, memory: Memory) -> tuple[torch.optim.Optimizer, dict[str, nn.Parameter]]:
        """The optimizer whose per-parameter state *is* the memory: the same dicts, so a checkpoint sees them live."""
        if self._bound is None or self._bound[0] != id(memory["state"]):
            parameters = blocks.parameters(self.writes)
            optimizer = self.optimizer(list(parameters.values()))
            for group in optimizer.param_groups:
                group["initial_lr"] = group["lr"]
            for name, parameter in parameters.items():
                if name in memory["state"]:
                    optimizer.state[parameter] = memory["state"][name]
            self._bound = (id(memory["state"]), optimizer, parameters)
        return self._bound[1], self._bound[2]

    def apply(self, blocks: Blocks, memory: Memory, batch: Batch | None) -> tuple[Updates, Memory, Metrics]:
        optimizer, named = self._bind(blocks, memory)
        parameters = list(named.values())
        if self.schedule is not None:
            factor = self.schedule(min(1.0, memory["count"] / max(1, self.horizon)))
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor
        metrics: Metrics = {}

        def closure() -> Tensor:
            optimizer.zero_grad(set_to_none=True)
            value, found = self._backward(blocks, batch, parameters)
            metrics.update(found)
            return value

        if isinstance(optimizer, torch.optim.LBFGS):
            value = optimizer.step(closure)  # pyright: ignore[reportArgumentType]
            metrics["loss"] = torch.as_tensor(value)
        else:
            value = closure()
            bound = self.clip if self.clip is not None else float("inf")
            norm = nn.utils.clip_grad_norm_(parameters, bound, foreach=True)
            finite = torch.isfinite(norm) & torch.isfinite(value)
            if finite:
                optimizer.step()
            metrics |= {"loss": value, "gradient_norm": norm, "skipped": (~finite).to(torch.float32)}
        for parameter in parameters:
            parameter.grad = None
        memory["count"] += 1
        for name, parameter in named.items():
            if parameter in optimizer.state:
                memory["state"][name] = optimizer.state[parameter]
        if self.ema is not None:
            averages: dict[str, Tensor] = memory["ema"]
            torch._foreach_lerp_(list(averages.values()), [p.detach() for p in parameters], 1 - self.ema)
        return {}, memory, metrics

    def _backward(self, blocks: Blocks, batch: Batch | None, inputs: list[nn.Parameter]) -> tuple[Tensor, Metrics]:
        pieces: list[Batch | None] = [batch]
        if self.accumulate > 1 and batch is not None:
            pieces = [batch.take(part) for part in torch.arange(len(batch)).chunk(self.accumulate)]
        total, metrics = torch.zeros(()), {}
        for piece in pieces:
            share = len(piece) / len(batch) if piece is not None and batch is not None else 1.0
            out = self.loss(blocks, piece)
            value, found = out if isinstance(out, tuple) else (out, {})
            (share * value).backward(inputs=inputs)
            total = total + share * value.detach()
            for key, metric in found.items():
                metrics[key] = metrics.get(key, 0.0) + share * metric.detach()
        return total, metrics


def warmup_cosine(warmup: float = 0.05) -> Callable[[float], float]:
    """A schedule: linear from 0 over the first `warmup` share of the horizon, then half a cosine to 0."""
    import math

    def factor(share: float) -> float:
        if share < warmup:
            return (share + 1e-3) / (warmup + 1e-3)
        return 0.5 * (1 + math.cos(math.pi * (share - warmup) / (1 - warmup)))

    return factor


def adam(lr: float, weight_decay: float = 0.0) -> Callable[[list[nn.Parameter]], torch.optim.Optimizer]:
    """AdamW over the given parameters, decay on matrices only."""

    def build(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        matrices = [p for p in parameters if p.ndim > 1]
        others = [p for p in parameters if p.ndim <= 1]
        groups: list[Mapping[str, Any]] = [{"params": matrices, "weight_decay": weight_decay}] if matrices else []
        if others:
            groups.append({"params": others, "weight_decay": 0.0})
        return torch.optim.AdamW(groups, lr=lr, fused=True)  # pyright: ignore[reportArgumentType]

    return build
