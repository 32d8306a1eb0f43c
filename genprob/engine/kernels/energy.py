"""The kernel of an energy as it stands: the model's own where it has one, otherwise HMC."""

from __future__ import annotations

from torch import Tensor

from genprob.engine.capabilities import Energy, MarkovKernel
from genprob.engine.kernels.hmc import HMC
from genprob.engine.transition import Kernel


def kernel_of(model: Energy, *, leapfrogs: int, warmup: int) -> Kernel:
    """A Markov kernel that leaves exp(-energy) invariant; HMC adapts its step size over `warmup` steps."""
    if isinstance(model, MarkovKernel):
        return model.markov_kernel()

    def log_density(points: Tensor) -> Tensor:
        return -model.energy(points)

    return HMC(log_density, leapfrogs, warmup)
