"""A loss and its gradients as one compiled graph: what Python and Pyro do at every step is done once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from genprob.errors import UsageError

if TYPE_CHECKING:
    from genprob.data.batch import Batch
    from genprob.engine.move import Metrics

NO_COMPILER = "compile: no C++ compiler was found, so the fit goes on without; install g++ or clang, or set CXX"

_OPTIONS: dict[str, Any] = {
    "fallback_random": True,  # random numbers of torch's own generator, which checkpoints hold
    "compile_threads": 1,  # a pool of processes would outlive the fit
}


@dataclass(frozen=True)
class Graph:
    """The value, metrics and gradients of a loss on batches as large as one of them.

    The operations are those that the loss did when it was traced, so nothing in it may depend on the values of the
    batch but through tensors. Up to rounding they are the loss's own, with the same random numbers.
    """

    run: Callable[..., tuple[Tensor, ...]]
    names: tuple[str, ...]
    reached: list[nn.Parameter]

    @classmethod
    def of(cls, loss: Callable[[Batch], Any], batch: Batch, inputs: list[nn.Parameter]) -> Graph:
        """Traces and compiles; costs some seconds, and no random number.

        Arguments:
            loss: gives a scalar, or a scalar and metrics.
            batch: of the size that is meant; where it is `complete`, so must the others be.
            inputs: parameters that gradients are taken of.

        Raises `UsageError` for a loss that cannot be traced.
        """
        from torch.fx.experimental.proxy_tensor import make_fx

        names: list[str] = []
        reached: list[bool] = []
        shared = batch.complete

        def joint(values: Tensor, index: Tensor, observed: Tensor) -> tuple[Tensor, ...]:
            known = batch.observed if shared else observed
            traced = replace(batch, values=values, index=index, observed=known)
            out = loss(traced)
            value, metrics = out if isinstance(out, tuple) else (out, {})
            names[:] = metrics
            found = torch.autograd.grad(value, inputs, allow_unused=True)
            reached[:] = [gradient is not None for gradient in found]
            slopes = (gradient.contiguous() for gradient in found if gradient is not None)
            return (value.detach(), *(metric.detach() for metric in metrics.values()), *slopes)

        given = batch.values, batch.index, batch.observed
        devices = [batch.values.device] if batch.values.is_cuda else []
        with torch.random.fork_rng(devices=devices):
            loss(batch)  # a loss that looks at what it is given looks now
            try:
                traced = make_fx(joint)(*given)
                run = torch.compile(traced, dynamic=False, options=_OPTIONS)
                with torch.no_grad():
                    run(*given)
            except Exception as error:
                why = next(iter(str(error).strip().split(" - ")[0].splitlines()), type(error).__name__)
                raise UsageError(f"compile=true: the loss cannot be compiled ({why}); leave it out") from error
        return cls(run, tuple(names), [p for p, known in zip(inputs, reached, strict=True) if known])

    def __call__(self, batch: Batch) -> tuple[Tensor, Metrics]:
        """The value and metrics; the parameters that the loss depends on have their gradients then."""
        with torch.no_grad():
            value, *rest = self.run(batch.values, batch.index, batch.observed)
        count = len(self.names)
        for parameter, gradient in zip(self.reached, rest[count:], strict=True):
            parameter.grad = gradient
        return value, dict(zip(self.names, rest[:count], strict=True))


def compiler() -> str | None:
    """The C++ compiler that graphs are compiled by, None where there is none."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        return get_cpp_compiler()
    except (InvalidCxxCompiler, RuntimeError):
        return None
