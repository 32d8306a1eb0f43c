"""Descend: a gradient step on a loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from genprob.data.batch import Batch
from genprob.engine.blocks import Blocks
from genprob.engine.graph import Graph
from genprob.engine.move import Feed, Metrics, Updates
from genprob.engine.state import Memory
from genprob.errors import PluginError, UsageError

_TAKEN, _SKIPPED = torch.tensor(0.0), torch.tensor(1.0)
Loss = Callable[[Blocks, "Batch | None"], "Tensor | tuple[Tensor, Metrics]"]


@dataclass
class Descend:
    """Lowers `loss(blocks, batch)` in the parameters that `writes` matches.

    Gradients are taken for those parameters only; nothing else has its `requires_grad` or `.grad` touched. A step
    whose loss or gradient (for LBFGS, whose outcome) is not finite is left out, and the metric `skipped` is 1.

    Arguments:
        name: key of its memory and prefix of its metrics.
        writes: patterns over block names.
        loss: returns a scalar, or a scalar and metrics.
        optimizer: `params -> torch.optim.Optimizer`; LBFGS is called through a closure.
        schedule: factor on the learning rate as a function of the share of the horizon done, in [0, 1].
        clip: largest gradient norm, or None; not for LBFGS, whose line search needs the gradient itself.
        ema: decay of an exponential moving average of the parameters kept in memory under `"ema"`, or None.
        accumulate: micro-batches per update (the batch is split, gradients are averaged by their rows; the loss
            must be a mean over rows).
        horizon: steps over which the schedule runs.
        compiled: size of the batches on which the loss and its gradients are a compiled graph (`Graph`), up to
            rounding the same descent; 0 for none. Not for LBFGS, nor for a batch in pieces.
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
    compiled: int = 0
    _bound: _Bound | None = field(default=None, init=False, repr=False, compare=False)

    def init(self, blocks: Blocks) -> Memory:
        parameters = blocks.parameters(self.writes)
        memory: Memory = {"state": {}, "count": 0}
        if self.ema is not None:
            memory["ema"] = {k: p.detach().clone() for k, p in parameters.items()}
        return memory

    def apply(self, blocks: Blocks, memory: Memory, batch: Batch | None) -> tuple[Updates, Memory, Metrics]:
        if self._bound is None or self._bound.state is not memory["state"]:
            self._bound = _Bound.of(self, blocks, memory["state"])
        optimizer = self._bound.optimizer
        if self.schedule is not None:
            factor = self.schedule(min(1.0, memory["count"] / max(1, self.horizon)))
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor
        try:
            if isinstance(optimizer, torch.optim.LBFGS):
                metrics = self._search(blocks, batch, self._bound)
            else:
                metrics = self._step(blocks, batch, self._bound)
        finally:
            self._bound.clear()
        memory["count"] += 1
        self._bound.remember()
        if self.ema is not None:
            averages = [memory["ema"][name] for name in self._bound.parameters]
            torch._foreach_lerp_(averages, [p.detach() for p in self._bound.parameters.values()], 1 - self.ema)
        return {}, memory, metrics

    def _step(self, blocks: Blocks, batch: Batch | None, bound: _Bound) -> Metrics:
        parameters = list(bound.parameters.values())
        bound.clear()
        value, metrics = self._backward(blocks, batch, parameters)
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        norm = _norm(gradients)
        length, finite = float(norm), math.isfinite(float(value))  # the one wait for the device
        finite = finite and math.isfinite(length)
        if finite:
            if self.clip is not None and length > self.clip:
                torch._foreach_mul_(gradients, self.clip / length)
            bound.optimizer.step()
        return metrics | {"loss": value, "gradient_norm": norm, "skipped": _TAKEN if finite else _SKIPPED}

    def _search(self, blocks: Blocks, batch: Batch | None, bound: _Bound) -> Metrics:
        parameters, metrics = list(bound.parameters.values()), {}
        before = [parameter.detach().clone() for parameter in parameters]

        def closure() -> Tensor:
            bound.clear()
            value, found = self._backward(blocks, batch, parameters)
            metrics.update(found)
            return value

        value = torch.as_tensor(bound.optimizer.step(closure))  # pyright: ignore[reportArgumentType, reportCallIssue]
        finite = bool(torch.isfinite(value)) and all(bool(torch.isfinite(p).all()) for p in parameters)
        if not finite:
            torch._foreach_copy_([parameter.detach() for parameter in parameters], before)
            bound.forget()
        return metrics | {"loss": value, "skipped": _TAKEN if finite else _SKIPPED}

    def _backward(self, blocks: Blocks, batch: Batch | None, inputs: list[nn.Parameter]) -> tuple[Tensor, Metrics]:
        if self.accumulate == 1 or batch is None:
            # The shorter batch that ends an epoch is not worth the compiling.
            if batch is not None and self.compiled and len(batch) == min(self.compiled, batch.total):
                return self._graph(blocks, batch, inputs)(batch)
            value, metrics = self._value(blocks, batch)
            value.backward(inputs=inputs)
            return value.detach(), {key: metric.detach() for key, metric in metrics.items()}
        rows = torch.arange(len(batch), device=batch.values.device)
        total, sums = torch.zeros((), device=rows.device), {}
        for part in rows.chunk(self.accumulate):
            share = len(part) / len(rows)
            value, metrics = self._value(blocks, batch.take(part))
            (share * value).backward(inputs=inputs)
            total = total + share * value.detach()
            for key, metric in metrics.items():
                sums[key] = sums.get(key, 0.0) + share * metric.detach()
        return total, sums

    def _graph(self, blocks: Blocks, batch: Batch, inputs: list[nn.Parameter]) -> Graph:
        """What batches like this one run as, from the first of them on."""
        assert self._bound is not None
        graphs = self._bound.graphs
        if batch.complete not in graphs:
            graphs[batch.complete] = Graph.of(lambda rows: self.loss(blocks, rows), batch, inputs)
        return graphs[batch.complete]

    def _value(self, blocks: Blocks, batch: Batch | None) -> tuple[Tensor, Metrics]:
        out = self.loss(blocks, batch)
        return out if isinstance(out, tuple) else (out, {})


@dataclass(frozen=True)
class _Bound:
    """An optimizer over a move's parameters whose per-parameter state *is* the move's memory: the same dicts."""

    state: dict[str, Any]
    optimizer: torch.optim.Optimizer
    parameters: dict[str, nn.Parameter]
    graphs: dict[bool, Graph] = field(default_factory=dict)

    @classmethod
    def of(cls, move: Descend, blocks: Blocks, state: dict[str, Any]) -> _Bound:
        parameters = blocks.parameters(move.writes)
        optimizer = move.optimizer(list(parameters.values()))
        if isinstance(optimizer, torch.optim.LBFGS) and move.clip is not None:
            raise PluginError(f"move {move.name!r}: clip and LBFGS do not go together")
        if move.compiled and (isinstance(optimizer, torch.optim.LBFGS) or move.accumulate > 1):
            raise PluginError(f"move {move.name!r}: a compiled loss goes with neither LBFGS nor accumulate")
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
        for name, parameter in parameters.items():
            if name in state:
                optimizer.state[parameter] = state[name]
        return cls(state, optimizer, parameters)

    def remember(self) -> None:
        """Lets the memory hold what the optimizer has begun to keep."""
        for name, parameter in self.parameters.items():
            kept = self.optimizer.state.get(parameter)
            if kept is not None:
                self.state[name] = kept

    def clear(self) -> None:
        """Takes the gradients away; torch's own `zero_grad` does it at twenty times the price."""
        for parameter in self.parameters.values():
            parameter.grad = None

    def forget(self) -> None:
        """Lets the optimizer start anew."""
        self.optimizer.state.clear()
        self.state.clear()


def _norm(gradients: list[Tensor]) -> Tensor:
    """The Euclidean norm of all gradients together, a scalar on the device of the first."""
    if not gradients:
        return torch.zeros(())
    norms = torch._foreach_norm(gradients)
    if any(norm.device != norms[0].device for norm in norms):
        norms = [norm.to(norms[0].device) for norm in norms]
    return torch.linalg.vector_norm(torch.stack(norms))


def warmup(share: float = 0.05) -> Callable[[float], float]:
    """A schedule: linear from 0 over the first `share` of the horizon, then constant."""

    def factor(done: float) -> float:
        return min(1.0, (done + 1e-3) / (share + 1e-3))

    return factor


def warmup_cosine(warmup: float = 0.05, fall: float = 1.0) -> Callable[[float], float]:
    """A schedule: linear from 0 over the first `warmup` share of the horizon, half a cosine to 0 over the last `fall`.

    In between it stays; with the `fall` of 1 it falls from the end of its warm-up on.
    """
    fall = min(fall, 1 - warmup)

    def factor(share: float) -> float:
        if share < warmup:
            return (share + 1e-3) / (warmup + 1e-3)
        return 0.5 * (1 + math.cos(math.pi * max(0.0, share - 1 + fall) / fall))

    return factor


def adam(
    lr: float, weight_decay: float = 0.0, betas: tuple[float, float] = (0.9, 0.999)
) -> Callable[[list[nn.Parameter]], torch.optim.Optimizer]:
    """AdamW over the given parameters, decay on matrices only."""

    def build(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.AdamW(_decayed(parameters, weight_decay), lr=lr, betas=betas, fused=True)

    return build


def momentum_descent(
    lr: float, momentum: float, weight_decay: float = 0.0
) -> Callable[[list[nn.Parameter]], torch.optim.Optimizer]:
    """Stochastic gradient descent over the given parameters, decay on matrices only."""

    def build(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.SGD(_decayed(parameters, weight_decay), lr=lr, momentum=momentum, fused=True)

    return build


def _decayed(parameters: list[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    matrices = [p for p in parameters if p.ndim > 1]
    others = [p for p in parameters if p.ndim <= 1]
    groups = ((matrices, weight_decay), (others, 0.0))
    return [{"params": group, "weight_decay": decay} for group, decay in groups if group]


def descent(
    name: str,
    loss: Loss,
    *,
    steps: int,
    lr: float,
    weight_decay: float = 0.0,
    momentum: float | None = None,
    decay: float = 1.0,
    clip: float | None = None,
    ema: float | None = None,
    accumulate: int = 1,
    data: Feed = "fresh",
    compiled: int = 0,
) -> Descend:
    """The usual descent of all of a model: AdamW whose rate is warmed up and then falls to zero over `steps`.

    With a number for `momentum` it is gradient descent with so much of it; `decay` is the share of the steps, the last
    ones, over which the rate falls: with 0 it stays. Raises `UsageError` for a share that is none.
    """
    if not 0 <= decay <= 1:
        raise UsageError(f"decay={decay} is no share of the steps: it lies between 0 (the rate stays) and 1")
    return Descend(
        name,
        frozenset({"model.*"}),
        loss,
        adam(lr, weight_decay) if momentum is None else momentum_descent(lr, momentum, weight_decay),
        warmup_cosine(fall=float(decay)) if decay else warmup(),
        clip=clip,
        ema=ema,
        accumulate=accumulate,
        horizon=steps,
        data=data,
        compiled=compiled,
    )
