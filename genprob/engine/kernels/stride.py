"""Stride: the step size and the scale of a target, as one linear map."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from genprob.engine.kernels.density import widened
from genprob.engine.state import Memory


@dataclass(frozen=True)
class Stride:
    """Steps in whitened coordinates, in which momenta are standard normal.

    Attributes:
        factor: step size times standard deviations, to broadcast against positions; or times the Cholesky factor of
            a covariance, `[*queries, d, d]`.
        dense: which of them.
        sign: what each chain's stride is multiplied by, None for 1.
    """

    factor: Tensor
    dense: bool
    sign: Tensor | None = None

    @classmethod
    def of(cls, memory: Memory, position: Tensor, lead: int, *, dense: bool) -> Stride:
        """The stride of a memory that `Warmup` keeps, for positions with `lead` batch dimensions."""
        size, scale = memory["size"], memory["scale"]
        if dense:
            return cls(widened(size, lead + 1) * scale, True)
        return cls(widened(size, position.ndim) * scale.unsqueeze(lead - 1), False)

    def signed(self, sign: Tensor) -> Stride:
        """The stride with each chain's multiplied by -1, 0 or 1."""
        if self.dense:
            return replace(self, sign=sign)
        return replace(self, factor=self.factor * widened(sign, self.factor.ndim))

    def moved(self, position: Tensor, momentum: Tensor) -> Tensor:
        """`position + stride momentum`."""
        if not self.dense:
            return torch.addcmul(position, self.factor, momentum)
        return position + self._through(momentum, self.factor.mT)

    def kicked(self, momentum: Tensor, gradient: Tensor, share: float = 0.5) -> Tensor:
        """`momentum + share stride' gradient`."""
        if not self.dense:
            return torch.addcmul(momentum, self.factor, gradient, value=share)
        return momentum + share * self._through(gradient, self.factor)

    def _through(self, vector: Tensor, matrix: Tensor) -> Tensor:
        out = (vector.flatten(matrix.ndim - 1) @ matrix).reshape(vector.shape)
        return out if self.sign is None else out * widened(self.sign, out.ndim)
