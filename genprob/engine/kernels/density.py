"""Log-densities of a batch of chains, with their gradients."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from genprob.errors import PluginError

LogDensity = Callable[[Tensor], Tensor]
"""`[chains, *event] -> [chains]` or `[queries, chains, *event] -> [queries, chains]`, in nats, up to a constant.

The rank of what it returns is the number of batch dimensions: the last is the chains, which share what a kernel adapts.
"""

ValueAndGradient = Callable[[Tensor], tuple[Tensor, Tensor]]
"""A log-density together with its gradient in the position."""


def checked(value: Tensor, position: Tensor) -> Tensor:
    """The value of a log-density. Raises `PluginError` unless it has one number per chain."""
    # With queries each position needs a dimension of its own: otherwise a forgotten sum would pass for queries.
    most = max(1, position.ndim - 1)
    if not 1 <= value.ndim <= most or value.shape != position.shape[: value.ndim]:
        raise PluginError(
            f"the log-density of positions {tuple(position.shape)} has shape {tuple(value.shape)}; it must have one "
            "number per chain: [chains], or [queries, chains] of positions [queries, chains, ...]"
        )
    return value


def differentiated(log_density: LogDensity, analytic: ValueAndGradient | None = None) -> ValueAndGradient:
    """Value and gradient of a log-density, detached: the analytic ones where they are given, otherwise by autograd.

    >>> value, gradient = differentiated(lambda x: -x.square().sum(-1))(torch.tensor([[1.0, 2.0]]))
    >>> value.tolist(), gradient.tolist()
    ([-5.0], [[-2.0, -4.0]])
    """
    if analytic is not None:
        return analytic

    def by_autograd(position: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            at = position.detach().requires_grad_()
            value = checked(log_density(at), at)
            (gradient,) = torch.autograd.grad(value.sum(), at)
        return value.detach(), gradient

    return by_autograd


def widened(value: Tensor, ndim: int) -> Tensor:
    """A number per chain (or query), with trailing dimensions of one up to `ndim`."""
    return value.reshape(*value.shape, *[1] * (ndim - value.ndim))


def summed(value: Tensor, lead: int) -> Tensor:
    """The sum over all dimensions after the first `lead`."""
    return value.flatten(lead).sum(-1) if value.ndim > lead else value
